//! Attribution of rows to sites, without guesses.
//!
//! `resolve` decides the site of each row, with the help of what Pitaya has `learned`; `credit` turns the certain rows into cells.

pub(super) mod credit;
pub(super) mod learned;
pub(super) mod resolve;
