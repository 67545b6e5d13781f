//! The parameters of the list of sites.

use super::decode::{Parameter, Reader};
use super::faults::ParameterFault;
use crate::domain::tag::Tag;
use crate::http::present::Format;

pub(super) const TAG: Parameter = Parameter::one("tag", "region=North");
pub(super) const SEARCH: Parameter = Parameter::one("q", "tyler");
pub(super) const LIST_FORMAT: Parameter = Parameter::one("format", "csv");

/// Parameters of a list of sites, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteListParams {
    /// The tag that a site must have, if any.
    pub tag: Option<Tag>,
    /// The text that a site must have in its name, code or id, in lower case.
    pub search: Option<String>,
    /// The format of the list, if requested by name.
    pub format: Option<Format>,
}

impl SiteListParams {
    /// The formats of a list, the preferred one first.
    pub const FORMATS: [Format; 2] = [Format::Json, Format::Csv];

    /// Parses a raw query string.
    ///
    /// # Errors
    ///
    /// All faults (up to a hundred).
    pub fn parse(query: Option<&str>) -> Result<Self, Vec<ParameterFault>> {
        let mut read = Reader::new(query, &[TAG, SEARCH, LIST_FORMAT]);
        let formats = Self::FORMATS.map(|format| (format.name(), format));
        let params = Self {
            tag: read.parsed(&TAG),
            search: read.text(&SEARCH).map(|text| text.to_lowercase()),
            format: read.choice(&LIST_FORMAT, &formats),
        };
        read.faults.or_ok(params)
    }
}
