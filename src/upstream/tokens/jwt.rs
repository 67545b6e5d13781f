//! The two claims of a JWT that determine its lifetime. The vendor checks the signature; Pitaya does not.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// Longest lifetime that we believe: a longer-lived token is renewed after this time. The limit also prevents overflow in clock
/// arithmetic.
const LONGEST: f64 = 365.0 * 24.0 * 3600.0;

/// Issue and expiry of a JWT in Unix seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
}

impl Claims {
    /// Reads the claims of `token`; none if it is not a JWT (RFC 7519).
    pub(super) fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).unwrap_or_default();
        URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }

    /// Its lifetime from issue, by the issuer's clock alone.
    pub(super) fn lifetime(self) -> Option<Duration> {
        positive(self.exp? - self.iat?)
    }

    /// Its remaining lifetime at `now`; `None` if it has expired or has no expiry.
    pub(super) fn remaining(self, now: Timestamp) -> Option<Duration> {
        positive(self.exp? - now.as_duration().as_secs_f64())
    }

    /// Whether it has an expiry.
    pub(super) const fn expires(self) -> bool {
        self.exp.is_some()
    }
}

/// Converts a positive number of seconds, bounded by [`LONGEST`].
pub(super) fn positive(seconds: f64) -> Option<Duration> {
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_with_both_times_takes_its_lifetime_from_the_issuers_clock() {
        let now: Timestamp = "2026-02-18T09:00:00Z".parse().unwrap();
        let at = now.as_second();
        let claims = Claims::of(&token(&format!(r#"{{"exp":{},"iat":{at}}}"#, at + 3600)));
        let expiry = Claims::of(&token(&format!(r#"{{"exp":{}.5}}"#, at + 60)));

        assert_eq!(claims.lifetime(), Some(Duration::from_hours(1)));
        assert_eq!(expiry.lifetime(), None);
        assert_eq!(expiry.remaining(now), Some(Duration::from_millis(60_500)));
    }

    #[test]
    fn other_text_than_a_jwt_has_no_claims() {
        for text in [
            String::new(),
            "opaque".into(),
            "a.b.c".into(),
            token("[]"),
            token("{"),
        ] {
            assert_eq!(Claims::of(&text), Claims::default(), "{text}");
        }
        let absurd = Claims::of(&token(r#"{"exp":1e300,"iat":0}"#));
        assert_eq!(absurd.lifetime(), Some(Duration::from_hours(365 * 24)));
        assert_eq!(Claims::of(&token(r#"{"exp":1,"iat":2}"#)).lifetime(), None);
    }
}
