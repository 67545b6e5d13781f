//! What has been fetched, kept in memory: cells, and single flight.

mod claims;
mod failures;
mod months;
mod page;
mod pages;
mod purge;
mod shared;
mod single_flight;
mod store;

pub use claims::{ClaimedCells, ClaimedFetch};
pub use purge::Purge;
pub use shared::{LookedUp, Unclaimed};
pub use single_flight::{Fetch, FetchOutcome};
pub use store::{CellStore, Claim};
