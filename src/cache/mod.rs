//! Fetched cells in memory, and single flight.

mod claims;
mod failures;
mod hold;
mod pages;
mod shared;
mod single_flight;
mod store;

pub use claims::{ClaimedCells, ClaimedFetch};
pub use pages::LastKnown;
pub use shared::{LookedUp, Unclaimed};
pub use single_flight::{Fetch, FetchOutcome};
pub use store::{CellStore, Claim};
