//! The parameters of a traffic query, checked as far as one can without knowing limits, scopes or the day.

use super::decode::{Parameter, split};
use super::faults::{Faults, ParameterFault};
use super::resolve::Scope;
use super::values::{
    BUCKET, CUSTOMER, DATES, FILL, FORMAT, GROUP_BY, HOURS, METRIC, PARTIAL, SITES, choice,
    parse_customer, parse_dates, parse_metrics, parse_sites, parsed, required,
};
use crate::domain::bucket::{Bucket, Hours};
use crate::domain::metric::Metric;
use crate::domain::query::{DateExpression, Fill, GroupBy, Partial};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::present::Format;

/// The parameters of a traffic query, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficParams {
    /// Which sites: ascending, each once, never empty.
    pub sites: Vec<SiteId>,
    /// Which dates, or the words for them.
    pub dates: DateExpression,
    /// Which metrics: in the order asked for, each once, never empty.
    pub metrics: Vec<Metric>,
    /// How long a row's bucket is.
    pub bucket: Bucket,
    /// Which part of the day counts.
    pub hours: Hours,
    /// What a series is.
    pub group_by: GroupBy,
    /// What stands where there is no figure.
    pub fill: Fill,
    /// Whether the answer may lack what could not be had.
    pub partial: Partial,
    /// The form of the answer, where it was asked for by name.
    pub format: Option<Format>,
    /// Whose sites: as given, else the only customer that the caller sees; `None` where it sees none at all.
    pub customer: Option<CustomerId>,
}

const KNOWN: [Parameter; 10] = [
    SITES, DATES, METRIC, BUCKET, HOURS, GROUP_BY, FILL, PARTIAL, FORMAT, CUSTOMER,
];

impl TrafficParams {
    /// Reads a raw query string; `scope` tells whether the customer must be said.
    ///
    /// # Errors
    ///
    /// Every fault that there is (up to a hundred).
    pub fn parse(query: Option<&str>, scope: &Scope<'_>) -> Result<Self, Vec<ParameterFault>> {
        let mut faults = Faults::default();
        let [
            sites,
            dates,
            metrics,
            bucket,
            hours,
            group_by,
            fill,
            partial,
            format,
            customer,
        ] = split(query, &KNOWN, &mut faults);

        for (given, parameter) in [(&sites, &SITES), (&dates, &DATES), (&metrics, &METRIC)] {
            required(given, parameter, &mut faults);
        }
        let sites = parse_sites(&sites, &mut faults);
        let dates = parse_dates(&dates, &mut faults);
        let metrics = parse_metrics(&metrics, &mut faults);
        let bucket = parsed(&bucket, &BUCKET, &mut faults).unwrap_or(Bucket::HOUR);
        let hours = parsed(&hours, &HOURS, &mut faults).unwrap_or(Hours::ALL_DAY);
        let group_by = choice(
            &group_by,
            &GROUP_BY,
            &[("site", GroupBy::Site), ("none", GroupBy::None)],
            &mut faults,
        );
        let fill = choice(
            &fill,
            &FILL,
            &[
                ("null", Fill::Null),
                ("zero", Fill::Zero),
                ("none", Fill::None),
            ],
            &mut faults,
        );
        let partial = choice(
            &partial,
            &PARTIAL,
            &[("deny", Partial::Deny), ("allow", Partial::Allow)],
            &mut faults,
        );
        let format = choice(
            &format,
            &FORMAT,
            &Format::ALL.map(|format| (format.name(), format)),
            &mut faults,
        );
        let customer = parse_customer(&customer, scope, &mut faults);

        let (Some(sites), Some(dates), Some(metrics)) = (sites, dates, metrics) else {
            return Err(faults.into_list());
        };
        faults.or_ok(Self {
            sites,
            dates,
            metrics,
            bucket,
            hours,
            group_by: group_by.unwrap_or_default(),
            fill: fill.unwrap_or_default(),
            partial: partial.unwrap_or_default(),
            format,
            customer,
        })
    }
}
