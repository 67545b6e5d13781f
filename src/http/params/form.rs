//! Checks what a query asks for against the form of its answer.

use super::limits::TooLarge;
use super::resolve::Rejection;
use super::values::{FORMAT, GROUP_BY, INCLUDE};
use crate::domain::bucket::Bucket;
use crate::domain::periods;
use crate::domain::query::{GroupBy, Query};
use crate::domain::row_count::row_count;
use crate::http::present::{Format, time_columns};

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
        faults.push(INCLUDE.fault(format!(
            "totals stand beside the rows, which only format=json has a place for, not {}",
            format.name()
        )));
    }
    if let GroupBy::Tag(grouping) = &query.group_by
        && has_column(query, &grouping.key)
    {
        faults.push(GROUP_BY.fault(format!(
            "the rows of this query have a column {} already; leave that one out, or group by another tag",
            grouping.key
        )));
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
    let of_series = match query.group_by {
        GroupBy::Site => 2,
        GroupBy::None => 0,
        GroupBy::Tag(_) => 1,
    };
    let (rows, columns) = (row_count(query), of_series + columns(query).len());
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
        faults: vec![FORMAT.fault(format!(
            "{rows} rows of {columns} columns are more than the {MAX_CELLS} table cells that format=xlsx may have; format=csv has no such limit"
        ))],
    })
}

/// Names of the columns of the rows of a query behind those of their series, without objects.
fn columns(query: &Query) -> Vec<String> {
    let profile = match query.bucket {
        Bucket::Profile(profile) => Some(profile),
        _ => None,
    };
    let metrics = query.metrics.iter().map(|metric| metric.name());
    let mut columns: Vec<String> = time_columns(profile)
        .iter()
        .copied()
        .chain(profile.map(|_| "days"))
        .chain(metrics.clone())
        .map(str::to_owned)
        .collect();
    if query.compare.is_some() {
        columns.push("previous_time".to_owned());
        let sides =
            metrics.flat_map(|name| ["previous", "change"].map(|side| format!("{name}_{side}")));
        columns.extend(sides);
    }
    let mut add = |names: &[&str]| columns.extend(names.iter().copied().map(str::to_owned));
    if query.include.coverage {
        add(&["coverage", "state", "clipped"]);
        if query.group_by != GroupBy::Site {
            add(&["sites_observed", "sites_expected"]);
        }
        if query.compare.is_some() {
            add(&["previous_coverage"]);
        }
    }
    if query.include.period {
        add(&periods::COLUMNS);
    }
    columns
}

/// Whether the rows of a query have a column or an object of that name beside the columns of their series.
fn has_column(query: &Query, name: &str) -> bool {
    let is_object = query.compare.is_some() && ["previous", "change"].contains(&name);
    is_object || columns(query).iter().any(|column| column == name)
}
