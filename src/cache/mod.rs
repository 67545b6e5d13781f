//! What has been fetched, kept in memory: cells, and single flight.

mod failures;
mod months;
mod page;
mod pages;
mod purge;
mod single_flight;
mod store;

pub use purge::Purge;
pub use single_flight::{Fetch, FetchOutcome};
pub use store::{CellStore, Claim, ClaimedCells, ClaimedFetch};
