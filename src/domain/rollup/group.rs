//! Rolls up one series of rows from the cells of its sites.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use super::grid::CellGrid;
use super::slots::SlotGrid;
use super::tally::{Tally, plus};
use crate::domain::bucket::{Bucket, DAY_MINUTES};
use crate::domain::cell::Cell;
use crate::domain::figures::View;
use crate::domain::metric::Metric;
use crate::domain::missing;
use crate::domain::plan::{Column, Plan};
use crate::domain::query::{Fill, Query};
use crate::domain::table::Table;
use crate::domain::timeline::Timeline;
use crate::domain::zone::LocalDays;

/// One series of rows under construction.
pub(super) struct GroupRoll<'a> {
    pub(super) query: &'a Query,
    pub(super) plan: &'a Plan,
    pub(super) grid: &'a CellGrid,
    /// Local days of each site of the query.
    pub(super) days: &'a [Arc<LocalDays>],
    pub(super) now: Timestamp,
    pub(super) timeline: &'a Timeline,
    pub(super) sites: Range<usize>,
}

impl GroupRoll<'_> {
    /// Writes the rows of the table's `group`.
    pub(super) fn write(&self, table: &mut Table, group: usize) {
        let times = self.timeline.starts().len();
        let columns = self.plan.columns.len();
        let windows = self.timeline.windows().len();
        let mut tallies = vec![Tally::default(); times * columns];
        let mut day = vec![Tally::default(); windows];
        for date in 0..self.query.dates.len() {
            let first = self.timeline.first_bucket(date);
            for (column, kind) in self.plan.columns.iter().enumerate() {
                day.fill(Tally::default());
                self.tally(*kind, date, &mut day);
                for (nth, tally) in day.iter().enumerate() {
                    let sum = &mut tallies[(first + nth) * columns + column];
                    *sum = sum.merge(*tally, *kind);
                }
            }
        }
        let skipped = self.skipped_buckets(times);
        let counts = self.query.metrics.iter().any(|metric| metric.is_count());
        let begun = if self.query.fill == Fill::Zero && counts {
            self.begun_buckets(times)
        } else {
            Vec::new()
        };
        for time in 0..times {
            let row = table.row_mut(group, time);
            for (column, value) in row.iter_mut().enumerate() {
                *value = tallies[time * columns + column].result(self.plan.columns[column]);
            }
            let nothing = row.iter().all(|value| value.is_nan());
            if begun.get(time).is_some_and(|begun| *begun) {
                for (value, metric) in row.iter_mut().zip(&self.query.metrics) {
                    if Metric::is_count(*metric) && value.is_nan() {
                        *value = 0.0;
                    }
                }
            }
            if nothing
                && (self.query.fill == Fill::None
                    || skipped.get(time).is_some_and(|skipped| *skipped))
            {
                table.hide(group, time);
            }
        }
    }

    /// Marks the buckets that lie wholly in a stretch that DST skips at every site: no answer expects them. Empty if there are none. A day
    /// exists even if its requested hours do not, unless DST skips all of it.
    fn skipped_buckets(&self, times: usize) -> Vec<bool> {
        let days = &self.days[self.sites.clone()];
        if days.iter().any(|days| days.all_ordinary()) {
            return Vec::new();
        }
        let mut skipped = vec![true; times];
        for date in 0..self.query.dates.len() {
            let first = self.timeline.first_bucket(date);
            for (nth, minutes) in self.timeline.windows().iter().enumerate() {
                let minutes = match self.query.bucket {
                    Bucket::Minutes(_) => minutes,
                    Bucket::Day | Bucket::Week | Bucket::Month | Bucket::Total => &(0..DAY_MINUTES),
                };
                skipped[first + nth] &= days
                    .iter()
                    .all(|days| days.shape(date).skips(minutes.start, minutes.end));
            }
        }
        skipped
    }

    /// Marks the buckets that have begun at one site or more, as far as they exist and lie inside the requested hours. Only in these may an
    /// absent figure become a zero.
    fn begun_buckets(&self, times: usize) -> Vec<bool> {
        let mut begun = vec![false; times];
        for date in 0..self.query.dates.len() {
            let first = self.timeline.first_bucket(date);
            for (nth, minutes) in self.timeline.windows().iter().enumerate() {
                let begun = &mut begun[first + nth];
                *begun = *begun
                    || self.days[self.sites.clone()]
                        .iter()
                        .any(|days| days.has_begun(date, minutes, self.now));
            }
        }
        begun
    }

    /// Computes what one date adds to a column: a tally for each of its windows.
    fn tally(&self, column: Column, date: usize, day: &mut [Tally]) {
        match column {
            Column::Sum(series) => self.sums(series, date, day, |tally| &mut tally.first),
            Column::Ratio { part, whole } => self.paired(part, whole, false, date, day),
            Column::Share { part, rest } => self.paired(part, rest, true, date, day),
            Column::WeightedMean { value, weight } => self.weighted(value, weight, date, day),
            Column::Mean(series) | Column::Peak(series) => self.levels(series, column, date, day),
        }
    }

    fn sums(
        &self,
        series: usize,
        date: usize,
        day: &mut [Tally],
        part: impl Fn(&mut Tally) -> &mut Option<f64>,
    ) {
        for site in self.sites.clone() {
            let Some(figures) = self.figures(series, site, date) else {
                continue;
            };
            let grid = self.slot_grid(series, site, date);
            for (tally, minutes) in day.iter_mut().zip(self.timeline.windows()) {
                let sum = part(tally);
                *sum = plus(*sum, figures.sum(grid.slots(minutes)));
                if let Some(repeated) = grid.repeated_slots(minutes, figures) {
                    *sum = plus(*sum, figures.sum(repeated));
                }
            }
        }
    }

    /// Adds up both sides of a rate, where both were observed. A bucket counts towards neither side if `other` is missing, or, when both
    /// are parts of the denominator, if `part` is missing. A site's day without any `part` counts towards neither side.
    fn paired(&self, part: usize, other: usize, both_below: bool, date: usize, day: &mut [Tally]) {
        let (mut without_part, mut without_other) = (Vec::new(), Vec::new());
        for site in self.sites.clone() {
            let (Some(part_cell), Some(other_cell)) =
                (self.cell(part, site, date), self.cell(other, site, date))
            else {
                continue;
            };
            let (parts, others) = (part_cell.figures().view(), other_cell.figures().view());
            if !both_below && parts.is_empty() {
                continue;
            }
            let bucket = self.plan.series()[part].bucket;
            let days = &self.days[site];
            let find = |cell: &Cell, missing: &mut Vec<_>| {
                let over = days.minutes_over(date, cell.fetched_at());
                let view = cell.figures().view();
                missing::find(view, bucket, days.shape(date), over, missing);
            };
            find(other_cell, &mut without_other);
            if both_below {
                find(part_cell, &mut without_part);
            }
            let grid = self.slot_grid(part, site, date);
            for (tally, minutes) in day.iter_mut().zip(self.timeline.windows()) {
                let mut add = |slots: Range<usize>| {
                    let part = sum_outside(parts, slots.clone(), &without_other);
                    tally.first = plus(tally.first, part);
                    let other = sum_outside(others, slots, &without_part);
                    tally.second = plus(tally.second, other);
                };
                add(grid.slots(minutes));
                let repeated = grid.repeated_slots(minutes, parts);
                if let Some(repeated) = repeated.or_else(|| grid.repeated_slots(minutes, others)) {
                    add(repeated);
                }
            }
        }
    }

    fn weighted(&self, value: usize, weight: usize, date: usize, day: &mut [Tally]) {
        for site in self.sites.clone() {
            let (Some(values), Some(weights)) = (
                self.figures(value, site, date),
                self.figures(weight, site, date),
            ) else {
                continue;
            };
            let grid = self.slot_grid(value, site, date);
            for (tally, minutes) in day.iter_mut().zip(self.timeline.windows()) {
                if self.query.vendor_means
                    && let Some(value) = only_value(values, &grid, minutes)
                {
                    (tally.first, tally.second) = (Some(value), Some(1.0));
                    continue;
                }
                let mut add = |slot, value: f64| {
                    if let Some(weight) = weights.get(slot).filter(|weight| *weight > 0.0) {
                        tally.first = plus(tally.first, Some(value * weight));
                        tally.second = plus(tally.second, Some(weight));
                    }
                };
                values.for_each(grid.slots(minutes), &mut add);
                if let Some(repeated) = grid.repeated_slots(minutes, values) {
                    values.for_each(repeated, &mut add);
                }
            }
        }
    }

    /// Folds the levels of a date's windows; each level is the sum over the sites that were observed at that time.
    fn levels(&self, series: usize, column: Column, date: usize, day: &mut [Tally]) {
        let windows = self.timeline.windows();
        if self.sites.len() == 1 {
            let site = self.sites.start;
            let Some(figures) = self.figures(series, site, date) else {
                return;
            };
            let grid = self.slot_grid(series, site, date);
            for (tally, minutes) in day.iter_mut().zip(windows) {
                let mut add = |slot, level| {
                    let level = observed(column, level, grid.weight(slot, figures));
                    *tally = tally.merge(level, column);
                };
                figures.for_each(grid.slots(minutes), &mut add);
                if let Some(repeated) = grid.repeated_slots(minutes, figures) {
                    figures.for_each(repeated, &mut add);
                }
            }
            return;
        }
        // The first and second occurrence of the same clock time are different times.
        let bucket = self.plan.series()[series].bucket;
        let slots = usize::from(bucket.slots_per_day());
        let mut levels: Vec<(Option<f64>, f64)> = vec![(None, 0.0); 2 * slots];
        let hours = self.query.hours.from()..self.query.hours.to();
        for site in self.sites.clone() {
            let Some(figures) = self.figures(series, site, date) else {
                continue;
            };
            let grid = self.slot_grid(series, site, date);
            let mut add = |at: usize, level, weight: f64| {
                let (sum, most) = &mut levels[at];
                *sum = plus(*sum, Some(level));
                *most = most.max(weight);
            };
            figures.for_each(grid.slots(&hours), |slot, level| {
                add(slot, level, grid.weight(slot, figures));
            });
            if let Some(repeated) = grid.repeated_slots(&hours, figures) {
                figures.for_each(repeated, |slot, level| {
                    let (first, weight) = (grid.clock_slot(slot), grid.weight(slot, figures));
                    if weight > 0.0 {
                        add(slots + first, level, weight);
                    } else if matches!(column, Column::Peak(_)) {
                        // It may belong to the first occurrence, at which all sites are observed.
                        add(first, level, weight);
                    }
                });
            }
        }
        let (once, again) = levels.split_at(slots);
        for (tally, minutes) in day.iter_mut().zip(windows) {
            let window = bucket.slots(minutes);
            for (level, weight) in once[window.clone()].iter().chain(&again[window]) {
                if let Some(level) = *level {
                    *tally = tally.merge(observed(column, level, *weight), column);
                }
            }
        }
    }

    fn figures(&self, series: usize, site: usize, date: usize) -> Option<View<'_>> {
        let cell = self.cell(series, site, date)?;
        Some(cell.figures().view())
    }

    fn cell(&self, series: usize, site: usize, date: usize) -> Option<&Cell> {
        self.grid.get(self.grid.index(series, site, date))
    }

    fn slot_grid(&self, series: usize, site: usize, date: usize) -> SlotGrid<'_> {
        SlotGrid::new(
            self.plan.series()[series].bucket,
            self.days[site].shape(date),
        )
    }
}

/// The value of the only slot that `minutes` have.
fn only_value(values: View<'_>, grid: &SlotGrid<'_>, minutes: &Range<u16>) -> Option<f64> {
    let slots = grid.slots(minutes);
    let is_alone = slots.len() == 1 && grid.repeated_slots(minutes, values).is_none();
    is_alone.then(|| values.get(slots.start)).flatten()
}

/// Tally of one observed level in a column of levels.
fn observed(column: Column, level: f64, weight: f64) -> Tally {
    match column {
        Column::Peak(_) => Tally {
            first: Some(level),
            second: None,
        },
        _ if weight > 0.0 => Tally {
            first: Some(level * weight),
            second: Some(weight),
        },
        _ => Tally::default(),
    }
}

/// Sums the figures in `slots`, except the `missing` ones.
fn sum_outside(figures: View<'_>, slots: Range<usize>, missing: &[Range<usize>]) -> Option<f64> {
    let (mut sum, mut from) = (None, slots.start);
    for gap in missing {
        // Repeated-hour slots come after all others, so a gap and `slots` overlap only within the same part.
        let gap = gap.start.max(from)..gap.end.min(slots.end);
        if !gap.is_empty() {
            sum = plus(sum, figures.sum(from..gap.start));
            from = gap.end;
        }
    }
    plus(sum, figures.sum(from..slots.end))
}
