//! The purpose of a configuration.

use crate::domain::site::CustomerId;

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The service in front of the vendor.
    Serve,
    /// The service in front of the simulator: `auth` is disabled by default, and the configured URLs and credentials of the vendor
    /// have no effect (URLs, tokens, `token_store`, `customer_ids`).
    Demo {
        /// The simulator's customers. `Config::upstream` gets its URLs and token once it listens.
        customers: &'a [CustomerId],
    },
}
