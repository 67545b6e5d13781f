//! The vendor's customers and their sites.

use std::fmt;
use std::str::FromStr;

/// The largest id that survives a trip through a JSON number in a browser: 2^53 − 1.
pub const MAX_ID: u64 = (1 << 53) - 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id, or `None` outside 1 to 2^53 − 1.
            #[must_use]
            pub const fn new(id: u64) -> Option<Self> {
                if id >= 1 && id <= MAX_ID { Some(Self(id)) } else { None }
            }

            /// The number as the vendor writes it.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> Self {
                id.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Plain decimal digits only: no sign, no leading zero, no blank.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
                plain
                    .then(|| text.parse().ok().and_then(Self::new))
                    .flatten()
                    .ok_or(InvalidId { what: $what })
            }
        }
    };
}

id!(
    /// A site of the vendor: 1 to 2^53 − 1.
    SiteId,
    "site"
);
id!(
    /// A customer (organization) of the vendor: 1 to 2^53 − 1.
    CustomerId,
    "customer"
);

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} id is a whole number from 1 to {MAX_ID}, in plain digits")]
pub struct InvalidId {
    what: &'static str,
}
