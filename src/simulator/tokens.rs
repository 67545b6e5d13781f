//! The vendor's credentials: ID tokens that expire, refresh tokens that rotate, and revocation after the reuse of a dead one.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::hash::hash;
use super::settings::{Rotation, TokenSettings};

/// Tokens that the vendor would issue by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Renews ID tokens.
    pub refresh_token: String,
    /// Authorizes report calls until it expires.
    pub id_token: String,
}

/// Reason to refuse a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is no token")]
    Missing,
    #[error("the token is unknown")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("a refresh token was used twice; all tokens are revoked")]
    Revoked,
}

/// The valid tokens.
#[derive(Debug)]
pub(super) struct TokenBook {
    settings: TokenSettings,
    seed: u64,
    issued: u64,
    /// The newest ones.
    pub(super) current: Credentials,
    dead: HashSet<String>,
    /// ID tokens and their expiry, in seconds since the epoch.
    ids: HashMap<String, i64>,
    revoked: bool,
}

impl TokenBook {
    pub(super) fn new(settings: TokenSettings, seed: u64, now: Timestamp) -> Self {
        let mut book = Self {
            settings,
            seed,
            issued: 0,
            current: Credentials::default(),
            dead: HashSet::new(),
            ids: HashMap::new(),
            revoked: false,
        };
        book.reissue(now);
        book
    }

    /// Issues new credentials by hand, which ends every revocation; older tokens become unknown.
    pub(super) fn reissue(&mut self, now: Timestamp) -> Credentials {
        self.revoked = false;
        self.dead.clear();
        self.ids.clear();
        self.current = Credentials {
            refresh_token: self.new_secret("refresh"),
            id_token: self.new_id_token(now),
        };
        self.current.clone()
    }

    /// Expires every ID token; refresh tokens stay valid.
    pub(super) fn expire(&mut self) {
        self.ids.values_mut().for_each(|expiry| *expiry = i64::MIN);
    }

    /// Revokes everything until [`Self::reissue`].
    pub(super) fn revoke(&mut self) {
        self.revoked = true;
    }

    /// Checks whether a report call may pass.
    pub(super) fn check(&self, bearer: Option<&str>, now: Timestamp) -> Result<(), Refused> {
        let token = bearer.ok_or(Refused::Missing)?;
        if self.revoked {
            return Err(Refused::Revoked);
        }
        match self.ids.get(token) {
            None => Err(Refused::Unknown),
            Some(expiry) if now.as_second() >= *expiry => Err(Refused::Expired),
            Some(_) => Ok(()),
        }
    }

    /// Whether a refresh token was used before and is dead.
    pub(super) fn is_dead(&self, refresh_token: &str) -> bool {
        self.dead.contains(refresh_token)
    }

    /// Exchanges a refresh token and returns the answer's body.
    pub(super) fn refresh(
        &mut self,
        refresh_token: &str,
        bearer: Option<&str>,
        now: Timestamp,
    ) -> Result<Value, Refused> {
        if self.is_dead(refresh_token) {
            self.revoke();
        }
        if self.revoked {
            return Err(Refused::Revoked);
        }
        if refresh_token != self.current.refresh_token {
            return Err(Refused::Unknown);
        }
        if self.settings.bearer_on_refresh && !bearer.is_some_and(|id| self.ids.contains_key(id)) {
            return Err(Refused::Missing);
        }
        if self.settings.rotation == Rotation::Rotate {
            let next = self.new_secret("refresh");
            self.dead
                .insert(std::mem::replace(&mut self.current.refresh_token, next));
        }
        self.current.id_token = self.new_id_token(now);
        Ok(self.answer())
    }

    fn answer(&mut self) -> Value {
        let names = self.settings.answer.clone();
        let mut tokens = Map::new();
        tokens.insert(names.id_field.into(), json!(self.current.id_token));
        if self.settings.rotation != Rotation::Omit {
            tokens.insert(
                names.refresh_field.into(),
                json!(self.current.refresh_token),
            );
        }
        if let Some(field) = names.expires_field {
            tokens.insert(field.into(), json!(self.settings.ttl.as_secs()));
        }
        if let Some(field) = names.decoy_field {
            tokens.insert(field.into(), json!(self.new_secret("access")));
        }
        match names.wrapper {
            None => Value::Object(tokens),
            Some(wrapper) => json!({ wrapper: tokens }),
        }
    }

    fn new_id_token(&mut self, now: Timestamp) -> String {
        let ttl = i64::try_from(self.settings.ttl.as_millis()).unwrap_or(i64::MAX);
        // Rounded up to whole seconds, as in JWTs, so that a token never dies before its stated expiry.
        let expiry = now.as_millisecond().saturating_add(ttl).div_euclid(1000) + 1;
        let token = if self.settings.opaque {
            self.new_secret("id")
        } else {
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let header = part(json!({"alg": "RS256", "kid": "simulator", "typ": "JWT"}));
            let payload = part(json!({
                "exp": expiry,
                "iat": now.as_second(),
                "jti": self.issued,
                "sub": "pitaya-simulator",
            }));
            let signature = URL_SAFE_NO_PAD.encode(self.new_secret("signature"));
            format!("{header}.{payload}.{signature}")
        };
        self.ids
            .retain(|_, expiry| *expiry > now.as_second() - 24 * 60 * 60);
        self.ids.insert(token.clone(), expiry);
        token
    }

    fn new_secret(&mut self, kind: &str) -> String {
        self.issued += 1;
        let half = |salt| hash(&[self.seed, self.issued, salt]);
        format!("simulated-{kind}-{:016x}{:016x}", half(1), half(2))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_771_513_404, 0);

    fn book(settings: TokenSettings) -> TokenBook {
        TokenBook::new(settings, 7, NOW)
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp::from_second(NOW.as_second() + seconds).unwrap()
    }

    #[test]
    fn id_tokens_expire() {
        let book = book(TokenSettings {
            ttl: Duration::from_mins(1),
            ..TokenSettings::default()
        });
        let token = book.current.id_token.clone();

        assert_eq!(book.check(Some(&token), NOW), Ok(()));
        assert_eq!(book.check(Some(&token), later(61)), Err(Refused::Expired));
        assert_eq!(book.check(Some("other"), NOW), Err(Refused::Unknown));
        assert_eq!(book.check(None, NOW), Err(Refused::Missing));
    }

    #[test]
    fn a_used_refresh_token_is_dead_and_using_it_again_revokes_all() {
        let mut book = book(TokenSettings::default());
        let first = book.current.clone();

        let answer = book.refresh(&first.refresh_token, None, NOW).unwrap();
        let second = book.current.clone();
        assert_eq!(answer["idToken"], second.id_token);
        assert_eq!(answer["refreshToken"], second.refresh_token);
        assert_ne!(first.refresh_token, second.refresh_token);
        assert_eq!(book.check(Some(&first.id_token), NOW), Ok(()));

        assert_eq!(
            book.refresh(&first.refresh_token, None, NOW),
            Err(Refused::Revoked)
        );
        assert_eq!(
            book.check(Some(&second.id_token), NOW),
            Err(Refused::Revoked)
        );
        assert_eq!(
            book.refresh(&second.refresh_token, None, NOW),
            Err(Refused::Revoked)
        );

        let third = book.reissue(NOW);
        assert_eq!(book.check(Some(&third.id_token), NOW), Ok(()));
        assert!(book.refresh(&third.refresh_token, None, NOW).is_ok());
    }

    #[test]
    fn an_unknown_refresh_token_changes_nothing() {
        let mut book = book(TokenSettings::default());
        let id_token = book.current.id_token.clone();

        assert_eq!(book.refresh("other", None, NOW), Err(Refused::Unknown));
        assert_eq!(book.check(Some(&id_token), NOW), Ok(()));
    }

    #[test]
    fn without_rotation_the_same_refresh_token_works_for_ever() {
        let mut book = book(TokenSettings {
            rotation: Rotation::Omit,
            ..TokenSettings::default()
        });
        let refresh_token = book.current.refresh_token.clone();

        let first = book.refresh(&refresh_token, None, NOW).unwrap();
        let second = book.refresh(&refresh_token, None, NOW).unwrap();

        assert_eq!(first.get("refreshToken"), None);
        assert_ne!(first["idToken"], second["idToken"]);
    }
}
