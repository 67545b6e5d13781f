//! What has been fetched, kept in memory: cells, and single flight.

mod flights;
mod page;
mod store;

pub use flights::{Flight, Landed};
pub use store::{Boarded, CellStore, Claim, Purge};
