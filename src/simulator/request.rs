//! Parses the body of a report call as strictly as the vendor's page describes it.

use std::ops::Range;

use jiff::civil::Time;

use crate::domain::bucket::{DAY_MINUTES, VendorBucket};
use crate::domain::cell::ReportRequest;
use crate::domain::dates::{DateRange, parse_date};
use crate::domain::metric::{MetricSet, VendorMetric};
use crate::domain::site::{CustomerId, SiteId};
use crate::vendor::{
    Body, DateFacet, GroupByFacet, MetricsFacet, ReportConfig, SitesFacet, TimeFacet,
};

/// Reason to refuse a call with 400.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidRequest {
    #[error("the body is not a report config: {0}")]
    Shape(#[from] serde_json::Error),
    #[error("{field} must be {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
}

/// A well-formed call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub request: ReportRequest,
    /// Requested part of the day, in minutes after midnight.
    pub window: Range<u16>,
    /// The config as received, to be echoed.
    pub config: ReportConfig,
}

impl Call {
    /// Parses a call's body.
    pub(super) fn parse(customer: CustomerId, body: &[u8]) -> Result<Self, InvalidRequest> {
        let Body { config } = serde_json::from_slice(body)?;
        expect(config.version == "V2", "version", "\"V2\"")?;
        let request = ReportRequest {
            customer,
            sites: sites(&config.sites_facet)?,
            dates: dates(&config.date_facet)?,
            metrics: metrics(&config.metrics_facet)?,
            bucket: bucket(&config.group_by_facet)?,
        };
        Ok(Self {
            request,
            window: window(&config.time_facet)?,
            config,
        })
    }
}

fn expect(holds: bool, field: &'static str, expected: &'static str) -> Result<(), InvalidRequest> {
    if holds {
        Ok(())
    } else {
        Err(InvalidRequest::Field { field, expected })
    }
}

fn sites(facet: &SitesFacet) -> Result<Vec<SiteId>, InvalidRequest> {
    let mut sites: Vec<_> = facet
        .site_ids
        .iter()
        .filter_map(|id| SiteId::new(*id))
        .collect();
    expect(
        !sites.is_empty() && sites.len() == facet.site_ids.len(),
        "sites_facet.site_ids",
        "a list of one or more site ids",
    )?;
    sites.sort_unstable();
    sites.dedup();
    Ok(sites)
}

fn dates(facet: &DateFacet) -> Result<DateRange, InvalidRequest> {
    expect(
        facet.date_range == "custom",
        "date_facet.dateRange",
        "\"custom\"",
    )?;
    let [from, to] = &facet.custom.range;
    parse_date(from)
        .zip(parse_date(to))
        .and_then(|(from, to)| DateRange::new(from, to))
        .ok_or(InvalidRequest::Field {
            field: "date_facet.custom.range",
            expected: "two dates as YYYY-MM-DD, the earlier first",
        })
}

fn metrics(facet: &MetricsFacet) -> Result<MetricSet, InvalidRequest> {
    let set: MetricSet = facet
        .metrics
        .iter()
        .filter_map(|name| VendorMetric::from_name(name))
        .collect();
    expect(
        !set.is_empty() && set.len() == facet.metrics.len(),
        "metrics_facet.metrics",
        "one or more of entrances, dwell_time, transactions, occupancy, walk_bys, each once",
    )?;
    Ok(set)
}

fn bucket(facet: &GroupByFacet) -> Result<VendorBucket, InvalidRequest> {
    let mut group_bys: Vec<_> = facet.group_bys.iter().map(String::as_str).collect();
    group_bys.sort_unstable();
    expect(
        group_bys == ["site", "time"],
        "group_by_facet.groupBys",
        "[\"time\", \"site\"]",
    )?;
    match (facet.time.unit.as_str(), facet.time.number) {
        ("minutes", minutes) => VendorBucket::from_minutes(minutes),
        ("hours", 1) => Some(VendorBucket::HOUR),
        _ => None,
    }
    .ok_or(InvalidRequest::Field {
        field: "group_by_facet.time",
        expected: "5, 10, 15, 30 or 60 minutes, or 1 hours",
    })
}

fn window(facet: &TimeFacet) -> Result<Range<u16>, InvalidRequest> {
    expect(
        facet.time_of_day == "custom",
        "time_facet.timeOfDay",
        "\"custom\"",
    )?;
    let [from, to] = &facet.custom.range;
    let (from, to) = (minute(from), minute(to));
    match (from, to) {
        // The vendor writes a whole day as 00:00:00 to 23:59:59.
        (Some((from, 0)), Some((last, 59))) if last + 1 == DAY_MINUTES => Some(from..DAY_MINUTES),
        (Some((from, 0)), Some((to, 0))) if from < to => Some(from..to),
        _ => None,
    }
    .ok_or(InvalidRequest::Field {
        field: "time_facet.custom.range",
        expected: "two times of day as HH:MM:SS, whole minutes or 23:59:59, the earlier first",
    })
}

/// `HH:MM:SS` as minutes after midnight, and seconds.
fn minute(text: &str) -> Option<(u16, u16)> {
    // The parser takes other forms as well.
    let time: Time = text
        .parse()
        .ok()
        .filter(|time: &Time| time.strftime("%H:%M:%S").to_string() == text)?;
    let [hour, minute, second] =
        [time.hour(), time.minute(), time.second()].map(|part| u16::from(part.unsigned_abs()));
    Some((hour * 60 + minute, second))
}
