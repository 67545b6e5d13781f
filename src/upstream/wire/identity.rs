//! Someone whom rows speak of.

use jiff::civil::Date;

use super::part::Part;

/// Someone whom rows speak of, by what the rows say of it: not a site yet.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Identity {
    /// The vendor's entity, which is not a site id.
    pub(in crate::upstream) entity: Option<Box<str>>,
    /// The vendor's name of the site.
    pub(in crate::upstream) name: Option<Box<str>>,
    /// The date of its newest row.
    pub(in crate::upstream) newest: Option<Date>,
    /// Whether it has several dwell times for a bucket, of which only entrances can make one: its rows come in parts, or more than once
    /// with different ones.
    pub(in crate::upstream) in_parts: bool,
    /// Its figures.
    pub(in crate::upstream) parts: Vec<Part>,
}
