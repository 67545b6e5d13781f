//! Picks a day to be audited.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rand::seq::IndexedRandom;

use super::check::{Check, counts};
use super::counts::Counts;
use crate::domain::batch::Bounds;
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::dates::{DateRange, add_days};
use crate::domain::local_day::DayShape;
use crate::domain::metric::VendorMetric;
use crate::domain::month::SeriesMonth;
use crate::service::engine::Engine;
use crate::service::judge::Judge;

/// Maximum number of days to try before skipping an audit because none can be audited.
const TRIES: usize = 16;

/// A site's day to be audited.
#[derive(Debug)]
pub(super) struct Audit {
    pub(super) check: Check,
    /// The cell that was picked.
    pub(super) key: CellKey,
    /// The report that fetched it, as far as its cells are still held.
    pub(super) original: ReportRequest,
    /// The report in the other shape.
    pub(super) other: ReportRequest,
    /// The held part of its counts.
    pub(super) held: Counts,
}

/// Picks a held day at random, and a shape in which it was not fetched: a different one each time if there is a choice.
pub(super) fn pick(engine: &Engine, judge: &Judge, audits: usize) -> Option<Audit> {
    let random = &mut rand::rng();
    let months = engine.cells.months();
    let months: Vec<SeriesMonth> = months.filter(|month| month.metric.is_count()).collect();
    for _ in 0..TRIES {
        let month = months.choose(random)?;
        let zone = judge.directory.zone(month.customer, month.site);
        let days = (1..=31).filter_map(|day| {
            let key = month.cell(month.date(day)?);
            let cell = engine.cells.get(&key)?;
            let is_final = judge.expiry(&key, &cell).is_final;
            is_final.then_some((key, cell))
        });
        let days: Vec<(CellKey, Cell)> = days.collect();
        let Some((key, cell)) = days.choose(random) else {
            continue;
        };
        if clock_may_change(key.date, zone) {
            continue;
        }
        let original = report_of(engine, &months, key, cell);
        let checks = (0..).map(|nth| Check::ALL[(audits + nth) % Check::ALL.len()]);
        let mut possible = checks.take(Check::ALL.len()).filter_map(|check| {
            let other = check.request(&original, key)?;
            Some((check, other))
        });
        if let Some((check, other)) = possible.next() {
            drop(possible);
            return Some(Audit {
                check,
                key: *key,
                held: held(engine, key, &original),
                original,
                other,
            });
        }
    }
    None
}

/// The counts of the day of `key` that a report fetched, as far as they are still held.
fn held(engine: &Engine, key: &CellKey, report: &ReportRequest) -> Counts {
    let cells = counts(report.metrics).filter_map(|metric| {
        let cell = engine.cells.get(&CellKey { metric, ..*key })?;
        Some((metric, cell))
    });
    Counts {
        bucket: key.bucket,
        cells: cells.collect(),
    }
}

/// The audits of the other sites of a report that gave one of them other counts than it has alone: the counts may be theirs.
pub(super) fn of_neighbours(engine: &Engine, audit: &Audit) -> Vec<Audit> {
    let ages: Vec<_> = audit.held.cells.values().map(Cell::age).collect();
    let sites = audit.original.sites.iter();
    let others = sites.filter(|site| **site != audit.key.site);
    let audits = others.filter_map(|site| {
        let key = CellKey {
            site: *site,
            ..audit.key
        };
        let held = held(engine, &key, &audit.original);
        let same_report = held.cells.values().all(|cell| ages.contains(&cell.age()));
        (same_report && !held.cells.is_empty()).then(|| Audit {
            check: audit.check,
            key,
            original: audit.original.clone(),
            other: audit.original.with_sites(vec![*site]),
            held,
        })
    });
    audits.collect()
}

/// Whether the clock may change on that date: in that zone, or anywhere if it is unknown.
fn clock_may_change(date: Date, zone: Option<&TimeZone>) -> bool {
    let changes = |zone: &TimeZone| DayShape::of(date, Some(zone)) != DayShape::default();
    match zone {
        Some(zone) => changes(zone),
        None => jiff::tz::db().available().any(|name| {
            let zone = TimeZone::get(name.as_str());
            zone.is_ok_and(|zone| changes(&zone))
        }),
    }
}

/// The report that fetched a cell, as far as its cells are still held: all of them have the same age.
fn report_of(engine: &Engine, months: &[SeriesMonth], key: &CellKey, cell: &Cell) -> ReportRequest {
    let Bounds {
        max_sites,
        max_days,
    } = engine.upstream.bounds();
    let came_with = |key: &CellKey| {
        let held = engine.cells.get(key);
        held.is_some_and(|held| held.age() == cell.age())
    };
    let of_series = |month: &&SeriesMonth| {
        (month.customer, month.metric, month.bucket) == (key.customer, key.metric, key.bucket)
    };
    let mut sites: Vec<_> = months
        .iter()
        .filter(of_series)
        .filter(|month| (month.year, month.month) == (key.date.year(), key.date.month()))
        .map(|month| month.site)
        .filter(|site| {
            came_with(&CellKey {
                site: *site,
                ..*key
            })
        })
        .collect();
    sites.sort_unstable();
    let place = sites.iter().position(|site| *site == key.site);
    let batch = place.unwrap_or_default() / max_sites.max(1);
    let sites = sites.chunks(max_sites.max(1)).nth(batch);
    let days = i32::try_from(max_days).unwrap_or(i32::MAX).clamp(1, 366) - 1;
    let is_with = |date: &Date| {
        came_with(&CellKey {
            date: *date,
            ..*key
        })
    };
    let back = (1..=days).map(|days| add_days(key.date, -days));
    let from = back.take_while(is_with).last().unwrap_or(key.date);
    let on = (1..=days).map(|days| add_days(key.date, days));
    let to = on.take_while(|date| is_with(date) && *date <= add_days(from, days));
    let to = to.last().unwrap_or(key.date);
    let metrics = VendorMetric::ALL.into_iter();
    ReportRequest {
        customer: key.customer,
        sites: sites.map_or_else(|| vec![key.site], <[_]>::to_vec),
        dates: DateRange::new(from, to).expect("it ends at the day or later"),
        metrics: metrics
            .filter(|metric| {
                came_with(&CellKey {
                    metric: *metric,
                    ..*key
                })
            })
            .collect(),
        bucket: key.bucket,
    }
}
