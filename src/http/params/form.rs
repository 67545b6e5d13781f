//! Checks what a query asks for against the form of its answer.

use super::faults::ParameterFault;
use super::limits::TooLarge;
use super::resolve::Rejection;
use super::values::{FORMAT, GROUP_BY, INCLUDE};
use crate::domain::bucket::{Bucket, Profile};
use crate::domain::periods;
use crate::domain::query::{GroupBy, Query};
use crate::domain::row_count::row_count;
use crate::http::present::Format;

/// Most cells of a workbook: it is in memory as a whole until it is written.
const MAX_CELLS: usize = 500_000;

/// Checks that an answer in `format` has a place for everything that `query` asks for.
///
/// # Errors
///
/// A fault for each parameter whose result has no place in that format, or the limit of a workbook.
pub fn check_form(query: &Query, format: Format) -> Result<(), Rejection> {
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
    if !faults.is_empty() {
        return Err(Rejection::Faults(faults));
    }
    if format == Format::Xlsx {
        check_cells(query)?;
    }
    Ok(())
}

fn check_cells(query: &Query) -> Result<(), TooLarge> {
    let (rows, columns) = (row_count(query), column_count(query));
    let cells = rows * columns;
    if cells <= MAX_CELLS {
        return Ok(());
    }
    Err(TooLarge {
        limit: "the most of format=xlsx",
        unit: "table cells",
        allowed: MAX_CELLS,
        asked: cells,
        way_out: format!(
            "at most {} rows of these columns at a time, or for format=csv",
            MAX_CELLS / columns
        ),
        faults: vec![ParameterFault {
            parameter: FORMAT.name.to_owned(),
            detail: format!(
                "{rows} rows of {columns} columns are more than the {MAX_CELLS} table cells that format=xlsx may have; format=csv has no such limit"
            ),
        }],
    })
}

/// Number of columns of the rows of a query, without objects in them.
fn column_count(query: &Query) -> usize {
    let of_series = match query.group_by {
        GroupBy::Site => 2,
        GroupBy::None => 0,
        GroupBy::Tag(_) => 1,
    };
    let of_time = match query.bucket {
        Bucket::Profile(Profile::HourOfWeek) => 3,
        Bucket::Profile(_) => 2,
        _ => 1,
    };
    let metrics = query.metrics.len();
    let of_comparison = if query.compare.is_some() {
        1 + 2 * metrics + usize::from(query.include.coverage)
    } else {
        0
    };
    let of_worth = match (query.include.coverage, &query.group_by) {
        (false, _) => 0,
        (true, GroupBy::Site) => 3,
        (true, _) => 5,
    };
    let of_period = if query.include.period {
        periods::COLUMNS.len()
    } else {
        0
    };
    of_series + of_time + metrics + of_comparison + of_worth + of_period
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
            || (name == "previous_coverage" && query.include.coverage)
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
