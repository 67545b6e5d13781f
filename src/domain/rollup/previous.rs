//! The other side of a comparison, next to the rows of a query.
//!
//! Both sides are rolled up in the same way, from grids with the same places: on the other side, each date has the cells and the clock of
//! its counterpart. A day that is not over is compared with its counterpart as the vendor would have answered at the same local time.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::grid::CellGrid;
use super::roll_up_groups;
use super::side::Side;
use crate::domain::bucket::{Bucket, DAY_MINUTES};
use crate::domain::cell::{Age, Cell};
use crate::domain::comparison::Comparison;
use crate::domain::dates::{add_days, days_between};
use crate::domain::local_days::LocalDays;
use crate::domain::metric::Metric;
use crate::domain::plan::Plan;
use crate::domain::query::{Fill, Query};
use crate::domain::table::{Table, Values};
use crate::domain::timeline::Timeline;

/// Both sides of a comparison.
pub(super) struct Sides<'a> {
    comparison: &'a Comparison,
    pub(super) current: Side,
    previous: Side,
    now: Timestamp,
    /// By site: the local time up to which its open day is compared, in minutes.
    pub(super) cuts: Vec<Option<u16>>,
}

impl<'a> Sides<'a> {
    /// Takes both sides from the cells and the days of all dates that the query needs.
    pub(super) fn new(
        query: &Query,
        comparison: &'a Comparison,
        plan: &Plan,
        grid: &CellGrid,
        days: &[Arc<LocalDays>],
        now: Timestamp,
    ) -> Self {
        let others = (0..query.dates.len()).map(|index| comparison.counterpart(index));
        let current = Side::own(query, grid, days);
        let previous = Side::of(query, others, grid, days);
        let timeline = Timeline::new(query);
        let mut sides = Self {
            comparison,
            current,
            previous,
            now,
            cuts: vec![None; query.sites.len()],
        };
        for site in 0..query.sites.len() {
            for day in 0..timeline.days() {
                sides.cut(query, plan, &timeline, site, day);
                if comparison.counterpart(timeline.date_of(day)).is_none() {
                    sides.end(plan, site, day, 0);
                }
            }
        }
        sides
    }

    /// Cuts the other side of a site's day that is not over.
    fn cut(&mut self, query: &Query, plan: &Plan, timeline: &Timeline, site: usize, day: usize) {
        let days = Arc::clone(&self.current.days[site]);
        let span = days.spans()[day];
        let series = 0..plan.series().len();
        let cells = series.filter_map(|series| {
            let line = self.current.grid.line(series, site);
            line[day].as_ref()
        });
        let ages: Vec<Age> = cells.map(Cell::age).collect();
        // A figure from before the end of its day lacks the rest of the day, even if the day is over by now.
        let open = ages.iter().any(|age| age.fetched_at() < span.ends);
        if !open && (self.now >= span.ends || !ages.is_empty()) {
            return;
        }
        let as_of = ages.iter().map(|age| age.computed_at()).min();
        let as_of = as_of.unwrap_or(self.now);
        let buckets = plan.series().iter().map(|series| series.bucket.minutes());
        let base = buckets.min().expect("a plan has a series");
        let cut = days.clock_at(day, as_of) / base * base;
        // The hours of a late day end before the day does.
        let end = if timeline.is_late(day) {
            days.late_end(day, query.hours)
        } else {
            DAY_MINUTES
        };
        if span.begins <= self.now && cut < end {
            self.cuts[site] = Some(cut);
        }
        self.end(plan, site, day, cut);
    }

    /// Ends a site's day on the other side when the clock first shows `minute`: nothing later is known or expected.
    fn end(&mut self, plan: &Plan, site: usize, day: usize, minute: u16) {
        let (days, grid) = (&self.previous.days[site], &mut self.previous.grid);
        for (series, known) in plan.series().iter().enumerate() {
            let index = grid.index(series, site, day);
            let minute = minute / known.bucket.minutes() * known.bucket.minutes();
            let cell = days.until(day, grid.get(index), known.bucket, minute, self.now);
            grid.set(index, cell);
        }
    }

    /// Rolls up some of the series, and adds the other side to their rows, with its times if the rows have any.
    pub(super) fn roll_up(
        &self,
        query: &Query,
        plan: &Plan,
        groups: &[usize],
        with_times: bool,
    ) -> Table {
        let unfilled = Query {
            fill: match query.fill {
                Fill::None => Fill::Null,
                fill => fill,
            },
            ..query.clone()
        };
        let roll = |query: &Query, side: &Side| {
            roll_up_groups(query, plan, &side.grid, &side.days, self.now, groups)
        };
        let mut table = roll(&unfilled, &self.current);
        let mut other = roll(
            &Query {
                fill: Fill::Null,
                ..unfilled
            },
            &self.previous,
        );
        let timeline = Timeline::new(query);
        let begun = self.begun(&timeline);
        for group in 0..table.groups().len() {
            for (time, begun) in begun.iter().enumerate() {
                if query.fill == Fill::Zero && *begun {
                    zero_like(&table, &mut other, group, time);
                }
                let (row, before) = (table.row(group, time), other.row(group, time));
                let nothing = |row: &[f64]| row.iter().all(|figure| figure.is_nan());
                let nowhere = nothing(row) && nothing(before);
                if query.fill == Fill::None && nowhere {
                    table.show(group, time, false);
                } else if query.hours.is_open() && !nowhere {
                    // The site may have been open then, and be closed now.
                    table.show(group, time, true);
                }
            }
        }
        if with_times && table.profile().is_none() {
            let times = Values::TimesByTime(self.times(query, &timeline));
            table.push_extra(Some(PREVIOUS), "time", times);
        }
        add_figures(&mut table, &other);
        if query.include.coverage {
            let coverage = Values::Decimals(other.coverages().to_vec());
            table.push_extra(Some(PREVIOUS), COVERAGE, coverage);
        }
        table
    }

    /// Marks the buckets that have a counterpart which has begun at one site or more.
    fn begun(&self, timeline: &Timeline) -> Vec<bool> {
        let mut begun = vec![false; timeline.starts().len()];
        for day in 0..timeline.days() {
            let has_begun = |days: &Arc<LocalDays>| days.spans()[day].begins <= self.now;
            let counterpart = self.comparison.counterpart(timeline.date_of(day));
            if counterpart.is_some() && self.previous.days.iter().any(has_begun) {
                for piece in timeline.pieces(day) {
                    begun[piece.bucket] = true;
                }
            }
        }
        begun
    }

    /// The start of each bucket on the other side.
    fn times(&self, query: &Query, timeline: &Timeline) -> Vec<Option<DateTime>> {
        let starts = timeline.starts();
        let mut times = vec![None; starts.len()];
        for (index, date) in query.dates.iter().enumerate() {
            let Some(other) = self.comparison.counterpart(index) else {
                continue;
            };
            for bucket in timeline.buckets(index) {
                let start = starts[bucket];
                let day = match query.bucket.occurrence() {
                    // It may begin after the midnight that ends the date.
                    Bucket::Minutes(_) => add_days(other, days_between(date, start.date())),
                    _ => self.comparison.moved(start.date()).unwrap_or(other),
                };
                times[bucket].get_or_insert(day.to_datetime(start.time()));
            }
        }
        times
    }
}

/// Makes each missing count of a row of the `other` side 0, unless it is withheld, where the row of `table` has a count or withholds it:
/// elsewhere its bucket has not begun.
fn zero_like(table: &Table, other: &mut Table, group: usize, time: usize) {
    for (column, metric) in table.metrics().iter().enumerate() {
        let has_begun =
            !table.row(group, time)[column].is_nan() || table.withholds(group, time, column);
        let before = other.row(group, time)[column];
        if metric.is_count()
            && has_begun
            && before.is_nan()
            && !other.withholds(group, time, column)
        {
            other.row_mut(group, time)[column] = 0.0;
        }
    }
}

/// Name of the object with the other side's figures.
pub(super) const PREVIOUS: &str = "previous";
/// Name of the coverage of these figures there.
pub(super) const COVERAGE: &str = "coverage";
/// Name of the object with the changes.
const CHANGE: &str = "change";

/// Adds the figures of the `other` side to the rows of `table`, and the changes since then.
fn add_figures(table: &mut Table, other: &Table) {
    let metrics = table.metrics().to_vec();
    let (groups, times) = (table.groups().len(), table.times().len());
    let places = || (0..groups).flat_map(|group| (0..times).map(move |time| (group, time)));
    let figures = |table: &Table, column: usize| -> Vec<f64> {
        places()
            .map(|(group, time)| table.row(group, time)[column])
            .collect()
    };
    for (column, metric) in metrics.iter().enumerate() {
        let before = figures(other, column);
        let before = if table.is_whole(*metric) {
            Values::Counts(before)
        } else {
            Values::Decimals(before)
        };
        table.push_extra(Some(PREVIOUS), metric.name(), before);
    }
    for (column, metric) in metrics.iter().enumerate() {
        let both = figures(table, column)
            .into_iter()
            .zip(figures(other, column));
        let changes = both.map(|(now, then)| change(*metric, now, then)).collect();
        table.push_extra(Some(CHANGE), metric.name(), Values::Decimals(changes));
    }
}

/// The change of a figure: relative, and for rates the difference. NaN if either is NaN, or if a relative one has no base.
fn change(metric: Metric, now: f64, then: f64) -> f64 {
    if metric.is_paired() {
        return now - then;
    }
    let change = (now - then) / then;
    if change.is_finite() { change } else { f64::NAN }
}
