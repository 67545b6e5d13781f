//! What a configuration is loaded for.

use crate::domain::site::CustomerId;

/// What a configuration is loaded for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The service in front of the vendor.
    Serve,
    /// The service in front of the simulator: `auth` is disabled unless it is said otherwise, and whatever is configured of the
    /// vendor's place and credentials is set aside (URLs, tokens, `token_store`, `customer_ids`).
    Demo {
        /// The simulator's customers. Its URLs and token are put into `Config::upstream` once it listens.
        customers: &'a [CustomerId],
    },
}
