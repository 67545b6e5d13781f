//! Which rows are which site's: never by guess.
//!
//! `resolve` tells whose each row is, with what was `learned`; `credit` makes cells of what is certain.

pub(super) mod credit;
pub(super) mod learned;
pub(super) mod resolve;
