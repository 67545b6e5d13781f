//! The token endpoint's answer, whose field names are undocumented.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::jwt::{Claims, positive};

/// Names of the ID token, most likely first. An access token is used only if there is no ID token.
const ID_TOKEN: [&str; 7] = [
    "idToken",
    "id_token",
    "IdToken",
    "token",
    "accessToken",
    "access_token",
    "AccessToken",
];
const REFRESH_TOKEN: [&str; 3] = ["refreshToken", "refresh_token", "RefreshToken"];
const EXPIRES_IN: [&str; 3] = ["expiresIn", "expires_in", "ExpiresIn"];
const CONTAINERS: [&str; 4] = ["data", "tokens", "result", "AuthenticationResult"];

/// Fresh tokens: at least one of the two.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    /// The new ID token.
    pub(super) id: Option<SecretString>,
    /// The new refresh token, if the vendor rotates it.
    pub(super) refresh: Option<SecretString>,
    /// Lifetime of the ID token from its receipt.
    pub(super) lifetime: Duration,
}

/// Why a token answer has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTokens {
    /// It says `success: false`.
    Refused,
    /// It is not JSON, or has neither a refresh token nor an ID token that fits in a header.
    Garbage,
}

/// Reads the answer `body`, sent at `date` by the vendor's clock and received at `now` by ours.
///
/// The caller bounds its size, so parsing it into a tree of values does no harm.
pub(super) fn read(
    body: &[u8],
    date: Option<Timestamp>,
    now: Timestamp,
    default: Duration,
) -> Result<Fresh, NoTokens> {
    let root: Value = serde_json::from_slice(body).map_err(|_| NoTokens::Garbage)?;
    if root
        .get("success")
        .is_some_and(|it| *it == Value::Bool(false))
    {
        return Err(NoTokens::Refused);
    }
    let levels = levels(&root);
    let values = |names: &'static [&'static str]| {
        let levels = &levels;
        names
            .iter()
            .flat_map(move |name| levels.iter().filter_map(move |level| level.get(*name)))
    };
    let id = values(&ID_TOKEN).find_map(id_token);
    let refresh = values(&REFRESH_TOKEN).find_map(refresh_token);
    if id.is_none() && refresh.is_none() {
        return Err(NoTokens::Garbage);
    }
    let expires_in = values(&EXPIRES_IN).find_map(seconds);
    let claims = Claims::of(id.unwrap_or_default());
    let lifetime = claims
        .lifetime()
        .or_else(|| claims.remaining(date?))
        .or_else(|| claims.remaining(now))
        .or(expires_in)
        .unwrap_or(default);
    Ok(Fresh {
        id: id.map(Into::into),
        refresh: refresh.map(Into::into),
        lifetime,
    })
}

/// The root, and two levels of containers below it.
fn levels(root: &Value) -> Vec<&Value> {
    let mut levels = vec![root];
    let mut done = 0;
    for _ in 0..2 {
        let inner: Vec<&Value> = levels[done..]
            .iter()
            .flat_map(|level| CONTAINERS.iter().filter_map(|name| level.get(*name)))
            .collect();
        done = levels.len();
        levels.extend(inner);
    }
    levels
}

/// Returns a token that fits in a header: one word of visible ASCII, without a leading `Bearer`, since we add that ourselves.
fn id_token(value: &Value) -> Option<&str> {
    let mut token = value.as_str()?.trim();
    // The scheme's case does not matter (RFC 9110, section 11.1).
    while let Some((scheme, rest)) = token.split_once(char::is_whitespace)
        && scheme.eq_ignore_ascii_case("bearer")
    {
        token = rest.trim_start();
    }
    let is_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (is_word && !token.eq_ignore_ascii_case("bearer")).then_some(token)
}

/// Returns a token to send back to the vendor in a body, unchanged.
fn refresh_token(value: &Value) -> Option<&str> {
    let token = value.as_str()?.trim();
    (!token.is_empty()).then_some(token)
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => text.parse().ok()?,
        other => other.as_f64()?,
    };
    positive(seconds)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const DEFAULT: Duration = Duration::from_mins(15);

    fn read(body: &str) -> Result<(String, Option<String>, u64), NoTokens> {
        let now = "2026-02-18T09:00:00Z".parse().unwrap();
        super::read(body.as_bytes(), None, now, DEFAULT).map(|fresh| {
            (
                fresh
                    .id
                    .map_or_else(String::new, |id| id.expose_secret().to_owned()),
                fresh.refresh.map(|token| token.expose_secret().to_owned()),
                fresh.lifetime.as_secs(),
            )
        })
    }

    #[test]
    fn a_token_is_found_under_every_known_name_and_place() {
        for name in ID_TOKEN {
            for (before, after) in [
                ("", ""),
                (r#""data":{"#, "}"),
                (r#""tokens":{"#, "}"),
                (r#""result":{"#, "}"),
                (r#""AuthenticationResult":{"#, "}"),
                (r#""success":true,"data":{"tokens":{"#, "}}"),
            ] {
                for refresh in REFRESH_TOKEN {
                    let body = format!(r#"{{{before}"{name}":"new","{refresh}":"next"{after}}}"#);

                    assert_eq!(
                        read(&body),
                        Ok(("new".to_owned(), Some("next".to_owned()), 900)),
                        "{body}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_id_token_takes_precedence_over_an_access_token_at_any_level() {
        let body =
            r#"{"access_token":"a","AuthenticationResult":{"IdToken":"i","ExpiresIn":"60"}}"#;

        assert_eq!(read(body), Ok(("i".to_owned(), None, 60)));
    }

    #[test]
    fn an_answer_without_tokens_differs_from_a_refusal() {
        assert_eq!(read(r#"{"success":false}"#), Err(NoTokens::Refused));
        for garbage in [
            "",
            "<html>",
            "{}",
            "[]",
            r#"{"idToken":""}"#,
            r#"{"idToken":7}"#,
            r#"{"idToken":"two\nlines"}"#,
            r#"{"idToken":"not there"}"#,
            r#"{"idToken":"Bearer"}"#,
            r#"{"idToken":"Bearer  "}"#,
            r#"{"idToken":"Basic abc"}"#,
            r#"{"idToken":"tok\u0000en"}"#,
            r#"{"idToken":"t\u00f6ken"}"#,
        ] {
            assert_eq!(read(garbage), Err(NoTokens::Garbage), "{garbage}");
        }
    }

    #[test]
    fn an_id_token_may_have_the_scheme_and_blanks_around_it() {
        for text in [
            "abc",
            " abc\\n",
            "Bearer abc",
            "bearer abc",
            "BEARER\\t abc ",
            " \\nBearer Bearer abc",
        ] {
            let body = format!(r#"{{"idToken":"{text}","refreshToken":" Bearer r "}}"#);

            assert_eq!(
                read(&body.replace("\\\\", "\\")),
                Ok(("abc".to_owned(), Some("Bearer r".to_owned()), 900)),
                "{body}"
            );
        }
        let bearer_alone = read(r#"{"idToken":"bearer-like","refreshToken":"r"}"#);
        assert_eq!(bearer_alone.unwrap().0, "bearer-like");
    }

    #[test]
    fn a_refresh_token_counts_even_if_the_id_token_is_useless() {
        let body = r#"{"idToken":"two words","refreshToken":"next"}"#;

        assert_eq!(
            read(body),
            Ok((String::new(), Some("next".to_owned()), 900))
        );
    }

    #[test]
    fn a_wrong_clock_does_not_shorten_a_lifetime() {
        use base64::Engine;
        let token = |claims: &str| {
            let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
            format!(r#"{{"idToken":"e30.{payload}.s"}}"#)
        };
        let now: Timestamp = "2026-02-18T09:00:00Z".parse().unwrap();
        let theirs = now.as_second() - 300;
        let date = Timestamp::from_second(theirs).unwrap();

        let both = token(&format!(r#"{{"iat":{theirs},"exp":{}}}"#, theirs + 60));
        let expiry = token(&format!(r#"{{"exp":{}}}"#, theirs + 60));
        let lifetime = |body: &str, date| {
            let fresh = super::read(body.as_bytes(), date, now, DEFAULT).unwrap();
            fresh.lifetime.as_secs()
        };

        assert_eq!(lifetime(&both, None), 60);
        assert_eq!(lifetime(&expiry, Some(date)), 60);
        assert_eq!(lifetime(&expiry, None), 900, "seemingly expired at receipt");
    }
}
