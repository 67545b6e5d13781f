//! Figures, the rules that combine them, and their freshness: no I/O, no async, no clock.

pub mod batch;
pub mod bucket;
pub mod calendar;
pub mod cell;
pub mod comparison;
pub mod coverage;
pub mod date_expression;
pub mod dates;
pub mod days;
pub mod directory;
pub mod figures;
pub mod freshness;
pub mod metric;
mod missing;
pub mod month;
pub mod plan;
pub mod purge;
pub mod query;
pub mod revision;
pub mod rollup;
pub mod site;
pub mod table;
pub mod tag;
pub mod timeline;
pub mod zone;
