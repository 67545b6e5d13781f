//! What an answer says about itself.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::bucket::ClockTime;
use crate::domain::metric::Metric;
use crate::domain::query::{GroupBy, Query};
use crate::service::Answer;
use crate::upstream::UpstreamError;

/// What callers are told about a site that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteProblem {
    /// The last segment of the problem's type.
    pub slug: &'static str,
    /// What happened, in words fit for callers.
    pub detail: String,
}

/// `meta`, its fields in the order in which they are shown.
#[derive(Clone, Serialize)]
pub(super) struct Meta<'a> {
    customer_id: u64,
    from: String,
    to: String,
    hours: Window,
    bucket: String,
    group_by: &'static str,
    metrics: Vec<Column<'a>>,
    sites: Vec<Place<'a>>,
    as_of: Option<String>,
    provisional_from: Option<String>,
    stale: Option<bool>,
    errors: Vec<Failure>,
}

#[derive(Clone, Serialize)]
struct Window {
    from: String,
    to: String,
}

#[derive(Clone, Serialize)]
struct Column<'a> {
    name: &'static str,
    over_time: &'static str,
    over_sites: &'static str,
    paired: bool,
    unit: Option<&'a str>,
    description: &'static str,
}

#[derive(Clone, Serialize)]
struct Place<'a> {
    site_id: u64,
    name: Option<&'a str>,
    timezone: Option<&'a str>,
}

#[derive(Clone, Serialize)]
struct Failure {
    site_id: u64,
    r#type: String,
    detail: String,
}

impl<'a> Meta<'a> {
    pub(super) fn new(
        query: &Query,
        answer: &'a Answer,
        dwell_time_unit: Option<&'a str>,
        describe: impl Fn(&UpstreamError) -> SiteProblem,
    ) -> Self {
        let columns = answer.table.metrics().iter().map(|metric| Column {
            name: metric.name(),
            over_time: metric.over_time().name(),
            over_sites: metric.over_sites().name(),
            paired: metric.is_paired(),
            unit: match metric {
                Metric::DwellTime => dwell_time_unit,
                metric => metric.unit(),
            },
            description: metric.description(),
        });
        let sites = answer.sites.iter().map(|info| Place {
            site_id: info.site.get(),
            name: info.name.as_deref(),
            timezone: info.timezone.as_deref(),
        });
        let errors = answer.errors.iter().map(|failure| {
            let problem = describe(&failure.error);
            Failure {
                site_id: failure.site.get(),
                r#type: format!("/problems/{}", problem.slug),
                detail: problem.detail,
            }
        });
        Self {
            customer_id: query.customer.get(),
            from: query.dates.from().to_string(),
            to: query.dates.to().to_string(),
            hours: Window {
                from: ClockTime(query.hours.from()).to_string(),
                to: ClockTime(query.hours.to()).to_string(),
            },
            bucket: query.bucket.to_string(),
            group_by: match query.group_by {
                GroupBy::Site => "site",
                GroupBy::None => "none",
            },
            metrics: columns.collect(),
            sites: sites.collect(),
            as_of: Some(to_the_second(answer.as_of)),
            provisional_from: answer.provisional_from.map(|date| date.to_string()),
            stale: Some(answer.outcome.stale.is_some()),
            errors: errors.collect(),
        }
    }

    /// The same without `as_of` and `stale`.
    pub(super) fn timeless(&self) -> Self {
        Self {
            as_of: None,
            stale: None,
            ..self.clone()
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers, strings and lists of them are always JSON")
    }
}

/// RFC 3339, in UTC, without the fraction.
fn to_the_second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}
