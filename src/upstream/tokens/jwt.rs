//! The two claims of a JWT that tell how long it lives, read without judging its signature: that is the vendor's business.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// A token that lives longer is renewed after this nevertheless; it also keeps clock arithmetic from overflowing.
const LONGEST: f64 = 365.0 * 24.0 * 3600.0;

/// When a JWT was issued and when it expires: Unix seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
}

impl Claims {
    /// The claims of `token`; none where it is no JWT (RFC 7519).
    pub(super) fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).unwrap_or_default();
        URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }

    /// How long it lives from its issue, told by the issuer's clock alone.
    pub(super) fn lifetime(self) -> Option<Duration> {
        positive(self.exp? - self.iat?)
    }

    /// How long it still lives at `now`; `None` where it has expired, or never says when.
    pub(super) fn remaining(self, now: Timestamp) -> Option<Duration> {
        positive(self.exp? - now.as_duration().as_secs_f64())
    }

    /// Whether it says when it expires.
    pub(super) const fn expires(self) -> bool {
        self.exp.is_some()
    }
}

/// A positive number of seconds, bounded.
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
    fn lifetimes_are_told_by_the_issuers_clock_where_it_says_both_times() {
        let now: Timestamp = "2026-02-18T09:00:00Z".parse().unwrap();
        let at = now.as_second();
        let claims = Claims::of(&token(&format!(r#"{{"exp":{},"iat":{at}}}"#, at + 3600)));
        let expiry = Claims::of(&token(&format!(r#"{{"exp":{}.5}}"#, at + 60)));

        assert_eq!(claims.lifetime(), Some(Duration::from_hours(1)));
        assert_eq!(expiry.lifetime(), None);
        assert_eq!(expiry.remaining(now), Some(Duration::from_millis(60_500)));
    }

    #[test]
    fn what_is_no_jwt_claims_nothing() {
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
