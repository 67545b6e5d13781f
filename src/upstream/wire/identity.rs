//! An identity that rows name.

use jiff::civil::Date;

use super::part::Part;

/// An identity that rows name by entity and name: not a site yet.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Identity {
    /// The vendor's entity, which is not a site id.
    pub(in crate::upstream) entity: Option<Box<str>>,
    /// The vendor's name of the site.
    pub(in crate::upstream) name: Option<Box<str>>,
    /// The date of its newest row.
    pub(in crate::upstream) newest: Option<Date>,
    /// Whether it has several dwell times for a bucket, so that only entrances can combine them: its rows are in parts, or repeat with
    /// different dwell times.
    pub(in crate::upstream) in_parts: bool,
    /// Its figures.
    pub(in crate::upstream) parts: Vec<Part>,
}
