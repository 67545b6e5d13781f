//! Checks what a query asks for against the form of its answer.

use super::faults::ParameterFault;
use super::values::{GROUP_BY, INCLUDE};
use crate::domain::bucket::Bucket;
use crate::domain::periods;
use crate::domain::query::{GroupBy, Query};
use crate::http::present::Format;

/// Checks that an answer in `format` has a place for everything that `query` asks for.
///
/// # Errors
///
/// A fault for each parameter whose result has no place in that format.
pub fn check_form(query: &Query, format: Format) -> Result<(), Vec<ParameterFault>> {
    let mut faults = Vec::new();
    if query.include.totals && format != Format::Json {
        faults.push(ParameterFault {
            parameter: INCLUDE.name.to_owned(),
            detail: format!(
                "totals stand beside the rows, which only format=json has a place for, not {}",
                format.name()
            ),
        });
    }
    if let GroupBy::Tag(grouping) = &query.group_by
        && has_column(query, &grouping.key)
    {
        faults.push(ParameterFault {
            parameter: GROUP_BY.name.to_owned(),
            detail: format!(
                "the rows of this query have a column {} already; leave that one out, or group by another tag",
                grouping.key
            ),
        });
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// Whether the rows of a query have a column of that name beside those of their series.
fn has_column(query: &Query, name: &str) -> bool {
    let is_metric = |name: &str| query.metrics.iter().any(|metric| metric.name() == name);
    let of_time: &[&str] = match query.bucket {
        Bucket::Profile(_) => &["hour", "weekday", "days"],
        _ => &["time"],
    };
    let of_worth: &[&str] = if query.include.coverage {
        &[
            "coverage",
            "state",
            "clipped",
            "sites_observed",
            "sites_expected",
        ]
    } else {
        &[]
    };
    let of_period: &[&str] = if query.include.period {
        &periods::COLUMNS
    } else {
        &[]
    };
    let of_comparison = || {
        // In formats without objects, these are parts of names.
        let parts = ["previous", "change"];
        parts.contains(&name)
            || name == "previous_time"
            || parts.into_iter().any(|part| {
                let metric = name
                    .strip_suffix(part)
                    .and_then(|name| name.strip_suffix('_'));
                metric.is_some_and(is_metric)
            })
    };
    is_metric(name)
        || of_time.contains(&name)
        || of_worth.contains(&name)
        || of_period.contains(&name)
        || (query.compare.is_some() && of_comparison())
}
