//! What has been fetched, kept in memory: cells, single flight, and rendered answers.

mod answers;
mod flights;
mod page;
mod store;

pub use answers::{AnswerKey, AnswerStore, RenderedAnswer};
pub use flights::{Flight, Landed};
pub use store::{Boarded, CellStore, Claim, Purge};
