//! The record of the tokens that replicas share, and its encryption.

use std::fmt;
use std::time::Duration;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The version of the record's layout, its first byte in the store.
const VERSION: u8 = 1;
const NONCE: usize = 24;

/// The replicas' knowledge of the tokens. Of two records, the one with the higher [`Self::rank`] replaces the other everywhere.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    /// Counts the renewals of this configured refresh token.
    pub(super) serial: u64,
    /// Counts the changes of phase since that renewal.
    pub(super) step: u64,
    /// Whether a replica uses the refresh token at the moment.
    pub(super) phase: Phase,
    /// Whether the vendor rotates refresh tokens; `None` before the first renewal.
    pub(super) rotates: Option<bool>,
    /// The tokens; `None` before the first renewal, when each replica has the configured ones.
    pub(super) tokens: Option<Tokens>,
}

/// Whether the refresh token of a record may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Phase {
    /// No replica uses it.
    Free,
    /// A replica's attempt has failed, and the next one waits for `pause_ms` milliseconds.
    Failed {
        /// The pause, in milliseconds.
        pause_ms: u64,
        /// Whether the vendor refused the token, rather than failing.
        refused: bool,
    },
    /// This replica is sending it to the vendor, or has sent it without recording the outcome yet.
    Spending(u64),
}

/// The tokens of one renewal.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "PlainTokens", into = "PlainTokens")]
pub(super) struct Tokens {
    pub(super) refresh: SecretString,
    /// The ID token; `None` if the vendor's answer had no usable one.
    pub(super) id: Option<SecretString>,
    /// The time of the vendor's answer by the store's clock, in milliseconds.
    pub(super) received_ms: i64,
    /// Lifetime of the ID token from then on.
    pub(super) lifetime: Duration,
}

/// Tokens as text to encrypt.
#[derive(Deserialize, Serialize)]
struct PlainTokens {
    refresh: String,
    id: Option<String>,
    received_ms: i64,
    lifetime_ms: u64,
}

impl From<Tokens> for PlainTokens {
    fn from(tokens: Tokens) -> Self {
        Self {
            refresh: tokens.refresh.expose_secret().to_owned(),
            id: tokens.id.map(|id| id.expose_secret().to_owned()),
            received_ms: tokens.received_ms,
            lifetime_ms: u64::try_from(tokens.lifetime.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<PlainTokens> for Tokens {
    fn from(plain: PlainTokens) -> Self {
        Self {
            refresh: plain.refresh.into(),
            id: plain.id.map(Into::into),
            received_ms: plain.received_ms,
            lifetime: Duration::from_millis(plain.lifetime_ms),
        }
    }
}

impl Record {
    /// The record before the first renewal.
    pub(super) const FIRST: Self = Self {
        serial: 0,
        step: 0,
        phase: Phase::Free,
        rotates: None,
        tokens: None,
    };

    /// The order of the records that descend from one configured refresh token.
    pub(super) const fn rank(&self) -> (u64, u64) {
        (self.serial, self.step)
    }

    /// This record, `steps` later in another phase.
    pub(super) fn then(&self, steps: u64, phase: Phase) -> Self {
        Self {
            step: self.step + steps,
            phase,
            ..self.clone()
        }
    }
}

/// Encrypts and names the records that descend from one configured refresh token. Only a process that knows this token can read or make
/// such a record.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    name: String,
}

impl Seal {
    /// The seal of the configured refresh token.
    pub(super) fn new(configured: &SecretString) -> Self {
        let secret = configured.expose_secret().as_bytes();
        let key = blake3::derive_key("pitaya shared tokens 1", secret);
        let name = blake3::derive_key("pitaya shared tokens name 1", secret);
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(key)),
            name: hex::encode(&name[..8]),
        }
    }

    /// The record's name: the same on all replicas with the same configured refresh token, without revealing the token.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Encrypts `record`.
    pub(super) fn close(&self, record: &Record) -> Vec<u8> {
        let text = serde_json::to_vec(record).expect("texts and numbers");
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload {
            msg: &text,
            aad: self.bound(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("far shorter than the cipher's limit");
        [&[VERSION], &nonce[..], &sealed].concat()
    }

    /// Decrypts a record; `None` if another version or key made these bytes, or they are damaged.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Record> {
        let (&VERSION, rest) = bytes.split_first()? else {
            return None;
        };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: sealed,
            aad: self.bound(),
        };
        let text = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The associated data of a record: a record moved to another name does not decrypt.
    fn bound(&self) -> &[u8] {
        self.name.as_bytes()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            serial: 3,
            step: 4,
            phase: Phase::Spending(9),
            rotates: Some(true),
            tokens: Some(Tokens {
                refresh: "secret-refresh".into(),
                id: Some("secret-id".into()),
                received_ms: 1_700_000_000_000,
                lifetime: Duration::from_mins(30),
            }),
        }
    }

    #[test]
    fn a_sealed_record_opens_and_shows_no_token() {
        let seal = Seal::new(&"configured".into());

        let sealed = seal.close(&record());
        let opened = Seal::new(&"configured".into()).open(&sealed).unwrap();

        assert_eq!(opened.rank(), (3, 4));
        assert_eq!(opened.phase, Phase::Spending(9));
        assert_eq!(opened.rotates, Some(true));
        let tokens = opened.tokens.unwrap();
        assert_eq!(tokens.refresh.expose_secret(), "secret-refresh");
        assert_eq!(tokens.id.unwrap().expose_secret(), "secret-id");
        assert_eq!(tokens.received_ms, 1_700_000_000_000);
        assert_eq!(tokens.lifetime, Duration::from_mins(30));
        for word in ["secret", "serial", "refresh"] {
            assert!(!sealed.windows(word.len()).any(|it| it == word.as_bytes()));
        }
        assert_ne!(sealed, seal.close(&record()), "a nonce is used once");
        assert!(!seal.name().contains("configured"));
    }

    #[test]
    fn a_changed_foreign_or_moved_record_does_not_open() {
        let seal = Seal::new(&"configured".into());
        let sealed = seal.close(&record());

        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open(&changed).is_none(), "byte {at}");
            assert!(seal.open(&sealed[..at]).is_none(), "cut at {at}");
        }
        assert!(Seal::new(&"other".into()).open(&sealed).is_none());
        let moved = Seal {
            name: "elsewhere".to_owned(),
            ..Seal::new(&"configured".into())
        };
        assert!(moved.open(&sealed).is_none());
        assert!(seal.open(b"").is_none());
    }
}
