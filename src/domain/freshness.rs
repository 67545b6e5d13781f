//! How long a cell is good, as a pure function of its day, its site's zone, when it was fetched, and now.

use std::time::Duration;

/// How long figures are good, by how likely they are to change; the configuration's `[cache]` table documents each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// TTL of a day that is not over.
    pub open_ttl: Duration,
    /// TTL of a day that ended less than `settle_after` ago.
    pub settling_ttl: Duration,
    /// How long after a day's end late data may still arrive.
    pub settle_after: Duration,
    /// TTL of an older day.
    pub final_ttl: Duration,
    /// Past its TTL by less than this, a figure is served at once and refreshed behind.
    pub stale_while_revalidate: Duration,
    /// Past its TTL by less than this, a figure is served when the vendor fails.
    pub stale_if_error: Duration,
}
