//! The description of an answer in its `meta` object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::figure;
use crate::domain::bucket::{Bucket, ClockTime, DAY_MINUTES, Hours};
use crate::domain::calendar::Calendar;
use crate::domain::comparison::{Comparison, NotOpen};
use crate::domain::coverage::{Basis, Summary};
use crate::domain::metric::{Combine, Metric};
use crate::domain::query::{GroupBy, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::service::Answer;
use crate::upstream::UpstreamError;

/// The public description of a site's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteProblem {
    /// The last segment of the problem's type.
    pub slug: &'static str,
    /// An explanation for callers.
    pub detail: String,
}

/// Most sites that an answer lists.
const MAX_LISTED: usize = 200;

/// Description of an answer.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Meta<'a> {
    #[schema(value_type = CustomerId)]
    customer_id: u64,
    /// The first date.
    #[schema(format = Date)]
    from: String,
    /// The last date, included.
    #[schema(format = Date)]
    to: String,
    /// The part of each day that counts.
    hours: ShownHours,
    /// Length of a row's bucket.
    #[schema(value_type = Bucket)]
    bucket: String,
    /// The calendar of the buckets and words for dates; absent for the Gregorian one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    calendar: Option<&'a str>,
    /// How sites form series.
    #[schema(value_type = GroupBy)]
    group_by: String,
    /// The other side of a comparison; with `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparison: Option<Compared>,
    /// The metrics of the query, in its order.
    metrics: Vec<Column<'a>>,
    /// The sites of the query, ascending, without those that `comparable=true` leaves out; absent if there are more than 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sites: Option<Vec<Place<'a>>>,
    /// Number of sites of the query, if there are more than 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    site_count: Option<usize>,
    /// Time at which the oldest figure used was computed.
    #[schema(value_type = String, format = DateTime)]
    as_of: Option<String>,
    /// The first local date whose figures may still change.
    #[schema(required, format = Date)]
    provisional_from: Option<String>,
    /// The observed part of the expected figures.
    coverage: Coverage,
    /// Whether figures past their TTL were used.
    #[schema(value_type = bool)]
    stale: Option<bool>,
    /// The sites with missing figures; empty unless `partial=allow`.
    errors: Vec<Failure>,
}

/// Coverage of the rows: the observed part of the base buckets with an expected figure.
#[derive(Clone, Serialize, ToSchema)]
struct Coverage {
    /// The lowest coverage of any row, rounded to four decimals; `null` if nothing was expected.
    #[schema(required, value_type = Option<f64>, minimum = 0, maximum = 1)]
    min: Option<Box<RawValue>>,
    /// Number of rows with a coverage below 1.
    rows_below_1: usize,
    /// The reason to expect figures, the weakest of all sites: the site's opening hours (`open`), the caller's `hours` (`hours`), or none
    /// (`days`), so that only a day without any figure is known to be missing.
    #[schema(value_type = Basis)]
    basis: &'static str,
}

/// The part of each day that counts: a window on the clock, or each site's opening hours (`open`).
#[derive(Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = HoursThatCount)]
enum ShownHours {
    Window(Window),
    Word(&'static str),
}

impl ShownHours {
    fn of(hours: Hours) -> Self {
        if hours.is_open() {
            Self::Word(Hours::OPEN_WORD)
        } else {
            Self::Window(Window::of(hours))
        }
    }
}

/// A part of the day, on the clock; it runs past midnight if it ends before it begins.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Hours)]
struct Window {
    /// `HH:MM`.
    from: String,
    /// `HH:MM`, excluded; up to `24:00`.
    to: String,
}

impl Window {
    fn of(hours: Hours) -> Self {
        let to = hours.to();
        let to = to
            .checked_sub(DAY_MINUTES)
            .filter(|late| *late > 0)
            .unwrap_or(to);
        Self {
            from: ClockTime(hours.from()).to_string(),
            to: ClockTime(to).to_string(),
        }
    }
}

/// The other side of a comparison.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Comparison)]
struct Compared {
    /// The first date; `null` if no day has a counterpart.
    #[schema(required, format = Date)]
    from: Option<String>,
    /// The last date, included.
    #[schema(required, format = Date)]
    to: Option<String>,
    /// How it follows from the query's dates: a word of `compare`, or `range`.
    mode: &'static str,
    /// The local time up to which an unfinished day is compared, by time zone: the earliest of the zone's sites; UTC for an unknown zone.
    cut_at: BTreeMap<String, String>,
    /// Sites that are left out of the whole answer, ascending, and why; with `comparable=true`.
    left_out: Vec<LeftOut>,
}

/// A site that is left out, since it was not open in both ranges.
#[derive(Clone, Serialize, ToSchema)]
struct LeftOut {
    #[schema(value_type = SiteId)]
    site_id: u64,
    /// The first reason that applies.
    #[schema(value_type = NotOpen)]
    reason: &'static str,
}

impl Compared {
    fn new(comparison: &Comparison, answer: &Answer) -> Self {
        let span = comparison.span();
        let mut cuts: BTreeMap<String, u16> = BTreeMap::new();
        for (info, cut) in answer.sites.iter().zip(&answer.cuts) {
            if let Some(cut) = *cut {
                let zone = info.timezone.as_deref().unwrap_or("UTC").to_owned();
                let known = cuts.entry(zone).or_insert(cut);
                *known = cut.min(*known);
            }
        }
        let cuts = cuts.into_iter();
        let left_out = comparison.left_out().iter();
        let left_out = left_out.map(|(site, reason)| LeftOut {
            site_id: site.get(),
            reason: reason.name(),
        });
        Self {
            from: span.map(|span| span.from().to_string()),
            to: span.map(|span| span.to().to_string()),
            mode: comparison.mode().name(),
            cut_at: cuts
                .map(|(zone, cut)| (zone, ClockTime(cut).to_string()))
                .collect(),
            left_out: left_out.collect(),
        }
    }
}

/// A metric, and how its figures combine.
#[derive(Clone, Serialize, ToSchema)]
struct Column<'a> {
    #[schema(value_type = Metric)]
    name: &'static str,
    #[schema(value_type = Combine)]
    over_time: &'static str,
    #[schema(value_type = Combine)]
    over_sites: &'static str,
    /// Whether it uses only times at which numerator and denominator were both observed: neither sum includes a base bucket if a part of
    /// the denominator is missing for an hour or longer, nor a site's day if the numerator was not observed at all.
    paired: bool,
    /// Unit of its figures: `people`, `transactions` or `ratio`; for `dwell_time` the configured unit, else `null`.
    #[schema(required)]
    unit: Option<&'a str>,
    /// Its meaning in one line.
    description: &'static str,
}

/// A site of the query.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = SiteInfo)]
struct Place<'a> {
    #[schema(value_type = SiteId)]
    site_id: u64,
    /// Its name, if known.
    #[schema(required)]
    name: Option<&'a str>,
    /// The IANA name of its time zone, if known.
    #[schema(required)]
    timezone: Option<&'a str>,
}

/// A site with missing figures.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = SiteFailure)]
struct Failure {
    #[schema(value_type = SiteId)]
    site_id: u64,
    /// Type of the problem.
    r#type: String,
    /// Cause of the failure.
    detail: String,
}

impl<'a> Meta<'a> {
    pub(super) fn new(
        query: &'a Query,
        answer: &'a Answer,
        coverage: Summary,
        dwell_time_unit: Option<&'a str>,
        describe: impl Fn(&UpstreamError) -> SiteProblem,
    ) -> Self {
        let columns = answer.table.metrics().iter().map(|metric| Column {
            name: metric.name(),
            over_time: match answer.table.profile() {
                Some(_) if metric.is_count() => Combine::Mean.name(),
                _ => metric.over_time().name(),
            },
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
        let is_short = answer.sites.len() <= MAX_LISTED;
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
            hours: ShownHours::of(query.hours),
            bucket: query.bucket.to_string(),
            calendar: Some(query.calendar.name()).filter(|name| *name != Calendar::GREGORIAN_NAME),
            group_by: query.group_by.name().to_owned(),
            comparison: query
                .compare
                .as_ref()
                .map(|comparison| Compared::new(comparison, answer)),
            metrics: columns.collect(),
            sites: is_short.then(|| sites.collect()),
            site_count: (!is_short).then_some(answer.sites.len()),
            as_of: Some(to_the_second(answer.as_of)),
            provisional_from: answer.provisional_from.map(|date| date.to_string()),
            coverage: Coverage {
                min: coverage.min.map(|min| figure::number(false, min)),
                rows_below_1: coverage.rows_below_1,
                basis: coverage.basis.name(),
            },
            stale: Some(answer.outcome.stale.is_some()),
            errors: errors.collect(),
        }
    }

    /// The same description without `as_of` and `stale`.
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

/// The time in RFC 3339, in UTC, without a fraction.
pub(in crate::http) fn to_the_second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}
