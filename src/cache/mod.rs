//! What has been fetched, kept in memory: cells, and single flight.

mod page;
mod single_flight;
mod store;

pub use single_flight::{Fetch, FetchOutcome};
pub use store::{CellStore, Claim, ClaimedFetch, Purge};
