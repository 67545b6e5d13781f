//! How a simulator is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::fault::Fault;
use super::quirks::Quirks;
use super::sites::Site;
use crate::domain::site::CustomerId;

/// Settings of a simulator; the default is the demo's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The customers that it knows; empty: any.
    pub customers: Vec<CustomerId>,
    /// The sites that have names, zones and hours of their own; any other id works as well.
    pub sites: Vec<Site>,
    /// The zone of sites that are not in `sites`.
    pub timezone: TimeZone,
    /// What its tokens are like.
    pub tokens: TokenSettings,
    /// What the vendor's documentation leaves open, to begin with.
    pub quirks: Quirks,
    /// Faults that are there from the start.
    pub faults: Vec<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            customers: Vec::new(),
            sites: Site::demo(),
            timezone: TimeZone::UTC,
            tokens: TokenSettings::default(),
            quirks: Quirks::default(),
            faults: Vec::new(),
        }
    }
}

/// What the simulator's tokens are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// How long an ID token lives.
    pub ttl: Duration,
    /// What becomes of a refresh token that is used.
    pub rotation: Rotation,
    /// Whether ID tokens are opaque, rather than JWTs that tell when they expire.
    pub opaque: bool,
    /// Whether a refresh must come with an ID token, expired or not, in `Authorization`.
    pub bearer_on_refresh: bool,
    /// The names in the answer of the token endpoint.
    pub answer: TokenAnswer,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(1),
            rotation: Rotation::Rotate,
            opaque: false,
            bearer_on_refresh: false,
            answer: TokenAnswer::default(),
        }
    }
}

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It dies, and the answer has the next one; who uses a dead one has all tokens revoked.
    Rotate,
    /// It stays good, and the answer repeats it.
    Keep,
    /// It stays good, and the answer has none.
    Omit,
}

/// The names in the answer of the token endpoint, which the vendor does not document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The object that the tokens are in; `None`: the root.
    pub wrapper: Option<&'static str>,
    /// The field of the ID token.
    pub id_field: &'static str,
    /// The field of the refresh token.
    pub refresh_field: &'static str,
    /// The field of the seconds that the ID token lives.
    pub expires_field: Option<&'static str>,
    /// A field with another token, which reports do not accept.
    pub decoy_field: Option<&'static str>,
}

impl Default for TokenAnswer {
    fn default() -> Self {
        Self {
            wrapper: None,
            id_field: "idToken",
            refresh_field: "refreshToken",
            expires_field: None,
            decoy_field: None,
        }
    }
}
