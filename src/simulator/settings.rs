//! Settings of a simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::demo;
use super::fault::Fault;
use super::quirks::Quirks;
use super::sites::Site;
use crate::domain::site::CustomerId;

/// Settings of a simulator; by default it has the demo's sites, all of them open ever since and with whole sensors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listen address; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Known customers; empty: any.
    pub customers: Vec<CustomerId>,
    /// Sites with a name, zone and hours of their own; any other id works as well.
    pub sites: Vec<Site>,
    /// Zone of sites that are not in `sites`.
    pub timezone: TimeZone,
    /// Behaviour of its tokens.
    pub tokens: TokenSettings,
    /// Initial choices for the points that the vendor's documentation leaves open.
    pub quirks: Quirks,
    /// Faults active from the start.
    pub faults: Vec<Fault>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            customers: Vec::new(),
            sites: demo::sites(),
            timezone: TimeZone::UTC,
            tokens: TokenSettings::default(),
            quirks: Quirks::default(),
            faults: Vec::new(),
        }
    }
}

/// Behaviour of the simulator's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Lifetime of an ID token.
    pub ttl: Duration,
    /// Effect of using a refresh token.
    pub rotation: Rotation,
    /// Whether ID tokens are opaque, rather than JWTs that contain their expiry.
    pub opaque: bool,
    /// Whether a refresh requires an ID token, expired or not, in `Authorization`.
    pub bearer_on_refresh: bool,
    /// Field names in the answer of the token endpoint.
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

/// Effect of using a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The token dies, and the answer contains its successor; using a dead token revokes all tokens.
    Rotate,
    /// The token stays valid, and the answer repeats it.
    Keep,
    /// The token stays valid, and the answer omits it.
    Omit,
}

/// Field names in the answer of the token endpoint, which the vendor does not document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// Object that contains the tokens; `None`: the root.
    pub wrapper: Option<&'static str>,
    /// Field of the ID token.
    pub id_field: &'static str,
    /// Field of the refresh token.
    pub refresh_field: &'static str,
    /// Field of the ID token's lifetime in seconds.
    pub expires_field: Option<&'static str>,
    /// Field of another token, which reports do not accept.
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
