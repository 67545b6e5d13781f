//! The parameters of the feed of revisions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;

use super::decode::{Parameter, Reader};
use super::faults::{Faults, ParameterFault};
use super::resolve::Rejection;
use super::site_words::SiteWords;
use super::terms::Terms;
use super::values::{METRIC, SITES, parse_metrics};
use crate::domain::metric::{Metric, MetricSet, VendorMetric};
use crate::domain::site::{CustomerId, SiteId};
use crate::service::{Since, Subject};

pub(super) const SINCE: Parameter = Parameter::one("since", "2026-02-18T00:00:00Z");
pub(super) const EVENTS: Parameter = Parameter::one("limit", "1000");

/// Events of an answer, unless the caller says otherwise.
const DEFAULT_LIMIT: usize = 1000;
/// Most events of an answer.
pub(super) const MAX_LIMIT: usize = 10_000;

/// Parameters of a read of the feed, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionParams {
    /// Where to begin.
    pub since: Since,
    /// Words for the sites; `None`: all.
    pub sites: Option<SiteWords>,
    /// The vendor's metrics; `None`: all.
    pub metrics: Option<MetricSet>,
    /// Most events; `None`: the default of an answer, and no end of a stream.
    pub limit: Option<usize>,
}

/// The events that a caller wants, regardless of what it may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionFilter {
    sites: Option<BTreeMap<CustomerId, BTreeSet<SiteId>>>,
    metrics: Option<MetricSet>,
}

impl RevisionParams {
    /// Parses a raw query string.
    ///
    /// # Errors
    ///
    /// All faults (up to a hundred).
    pub fn parse(query: Option<&str>) -> Result<Self, Vec<ParameterFault>> {
        let mut read = Reader::new(query, &[SINCE, SITES, METRIC, EVENTS]);
        let since = read.parsed_by(&SINCE, place, |_| None);
        let params = Self {
            since: since.unwrap_or(Since::Beginning),
            sites: SiteWords::parse(&mut read),
            metrics: parse_metrics(&mut read).map(|metrics| {
                let parts = metrics.into_iter().flat_map(made_of);
                parts.copied().collect()
            }),
            limit: read.parsed_by(&EVENTS, number_of_events, |_| None),
        };
        read.faults.or_ok(params)
    }

    /// Most events of an answer.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// The caller's request by these `terms`.
    ///
    /// # Errors
    ///
    /// `Forbidden` for the id of a site that no customer in the caller's scope allows, and faults for words that no visible site answers to.
    pub fn filter(&self, terms: &Terms<'_>) -> Result<RevisionFilter, Rejection> {
        let mut faults = Faults::default();
        let words = self.sites.as_ref();
        let found = words.map(|words| words.find(terms, terms.scope.customers, &mut faults));
        if found.as_ref().is_some_and(|found| found.hidden) {
            return Err(Rejection::Forbidden);
        }
        faults.or_ok(()).map_err(Rejection::Faults)?;
        Ok(RevisionFilter {
            sites: found.map(|found| found.sites),
            metrics: self.metrics,
        })
    }
}

impl RevisionFilter {
    /// Whether it wants the events of that subject.
    #[must_use]
    pub fn wants(&self, subject: &Subject) -> bool {
        let sites = self.sites.as_ref();
        sites.is_none_or(|sites| {
            let sites = sites.get(&subject.customer);
            sites.is_some_and(|sites| sites.contains(&subject.site))
        }) && self
            .metrics
            .is_none_or(|metrics| metrics.contains(subject.metric))
    }
}

/// The value of `Last-Event-ID`: a cursor.
///
/// # Errors
///
/// If it is not a cursor.
pub fn last_event_id(text: &str) -> Result<Since, Vec<ParameterFault>> {
    text.parse().map(Since::Cursor).map_err(|error| {
        let detail = format!("is a header field that is not valid: {error}");
        vec![ParameterFault::of("Last-Event-ID", detail)]
    })
}

/// The vendor's metrics that a metric is made of.
const fn made_of(metric: Metric) -> &'static [VendorMetric] {
    match metric {
        Metric::Entrances => &[VendorMetric::Entrances],
        Metric::WalkBys => &[VendorMetric::WalkBys],
        Metric::Transactions => &[VendorMetric::Transactions],
        Metric::DwellTime => &[VendorMetric::DwellTime],
        Metric::Occupancy | Metric::PeakOccupancy => &[VendorMetric::Occupancy],
        Metric::ConversionRate => &[VendorMetric::Transactions, VendorMetric::Entrances],
        Metric::CaptureRate => &[VendorMetric::Entrances, VendorMetric::WalkBys],
    }
}

/// A place in the feed, as callers write it.
fn place(text: &str) -> Result<Since, &'static str> {
    if let Some(time) = time(text) {
        return Ok(Since::Time(time));
    }
    let cursor = text.parse().map(Since::Cursor);
    cursor.map_err(|_| "it is neither a cursor of this feed nor a time with a zone")
}

/// A time with an offset. The ends of time stand for times beyond them, when nothing was seen either: `9999-12-31T23:59:59Z` is one.
fn time(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let time = pieces.date().to_datetime(pieces.time()?);
    let end = if pieces.date().year() > 0 {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    };
    Some(offset.to_timestamp(time).unwrap_or(end))
}

fn number_of_events(text: &str) -> Result<usize, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain);
    number
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| format!("it is a whole number from 1 to {MAX_LIMIT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> RevisionParams {
        RevisionParams::parse(Some(query)).unwrap()
    }

    #[test]
    fn a_rate_stands_for_the_metrics_that_it_is_made_of() {
        let all = RevisionParams::parse(None).unwrap();
        let rate = parse("metric=conversion_rate,peak_occupancy");

        assert_eq!((all.metrics, all.since), (None, Since::Beginning));
        assert_eq!(
            rate.metrics.unwrap().iter().collect::<Vec<_>>(),
            [
                VendorMetric::Entrances,
                VendorMetric::Transactions,
                VendorMetric::Occupancy
            ]
        );
    }

    #[test]
    fn a_time_has_a_zone_and_a_limit_its_bounds() {
        let time = |text: &str| parse(&format!("since={text}")).since;

        let noon = Since::Time("2026-02-18T12:00:00Z".parse().unwrap());
        assert_eq!(time("2026-02-18T12:00:00Z"), noon);
        assert_eq!(time("2026-02-18T13:00:00%2B01:00"), noon);
        for end in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-11:00"] {
            assert_eq!(time(end), Since::Time(Timestamp::MAX), "{end}");
        }
        assert_eq!(parse("limit=10000").limit(), 10_000);
        for wrong in [
            "since=2026-02-18",
            "since=2026-02-18T12:00:00",
            "since=yesterday",
            "since=2026-02-18Z",
            "since=2026-02-18T12:00:00[America/Chicago]",
            "since=10000-01-01T00:00:00Z",
            "since=AAAA",
            "limit=0",
            "limit=10001",
            "limit=-1",
            "limit=%2B1",
            "limit=99999999999999999999999",
            "customer=1",
        ] {
            let faults = RevisionParams::parse(Some(wrong)).unwrap_err();
            assert_eq!(faults.len(), 1, "{wrong}");
        }
    }
}
