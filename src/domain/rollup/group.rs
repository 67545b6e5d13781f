//! Rolls up one series of rows from the cells of its sites.

use std::ops::Range;

use fixedbitset::FixedBitSet;

use super::coverage::GroupCoverage;
use super::slots::SlotGrid;
use super::source::GroupRoll;
use super::tally::{Tally, plus};
use crate::domain::bucket::{Bucket, DAY_MINUTES};
use crate::domain::cell::Cell;
use crate::domain::figures::View;
use crate::domain::missing;
use crate::domain::plan::Column;
use crate::domain::query::Fill;
use crate::domain::table::Table;
use crate::domain::timeline::Piece;

impl GroupRoll<'_> {
    /// Writes the rows of the table's `group`.
    pub(super) fn write(&self, table: &mut Table, group: usize) {
        let times = self.sites.timeline.starts().len();
        let coverage = GroupCoverage::of(self);
        let mut in_rates = coverage.no_rates();
        let tallies = self.tallies(times, &coverage, &mut in_rates);
        let columns = self.plan.columns.len();
        let expected = self.sites.expected_buckets();
        let zeros = self.zeros(times);
        for time in 0..times {
            let row = table.row_mut(group, time);
            for (column, value) in row.iter_mut().enumerate() {
                *value = tallies[time * columns + column].result(self.plan.columns[column]);
            }
            let nothing = row.iter().all(|value| value.is_nan());
            for (column, answered) in &zeros {
                let value = &mut row[*column];
                if answered[time] && value.is_nan() && !coverage.withholds(time, *column) {
                    *value = 0.0;
                }
            }
            if !self.sites.query.min_coverage.is_none() {
                for column in (0..columns).filter(|column| coverage.withholds(time, *column)) {
                    if coverage.is_of_one_site() {
                        table.row_mut(group, time)[column] = f64::NAN;
                    }
                    table.note_withheld(group, time, column);
                }
            }
            if nothing
                && !coverage.leaves_out_figures(time)
                && (self.sites.query.fill == Fill::None
                    || expected.get(time).is_some_and(|expected| !*expected))
            {
                table.show(group, time, false);
            }
        }
        coverage.write_shares(table.coverages_mut(group));
        let sites = coverage.into_sites(&in_rates);
        if !sites.is_empty() {
            table.set_sites(group, &sites);
        }
    }

    /// The tallies of each bucket and column.
    fn tallies(
        &self,
        times: usize,
        coverage: &GroupCoverage<'_>,
        in_rates: &mut FixedBitSet,
    ) -> Vec<Tally> {
        let columns = self.plan.columns.len();
        let mut tallies = vec![Tally::default(); times * columns];
        for day in 0..self.sites.timeline.days() {
            for (column, kind) in self.plan.columns.iter().enumerate() {
                let mut out = ColumnTallies {
                    tallies: &mut tallies,
                    columns,
                    column,
                    coverage,
                    in_rates,
                };
                self.tally(*kind, day, &mut out);
            }
        }
        tallies
    }

    /// The columns whose absent figures become zeros, each with the buckets where they do.
    fn zeros(&self, times: usize) -> Vec<(usize, Vec<bool>)> {
        let columns = self.plan.columns.iter().enumerate();
        let zeros = columns.filter_map(|(column, kind)| match kind {
            Column::Sum(series) if self.sites.query.fill == Fill::Zero => {
                Some((column, self.answered_buckets(*series, times)))
            }
            _ => None,
        });
        zeros.collect()
    }

    /// Marks the buckets that have begun at one site or more whose cells of `series` are there, as far as the buckets exist and lie inside
    /// the requested hours. Only in these may an absent figure become a zero: what the vendor failed to answer is unknown.
    fn answered_buckets(&self, series: usize, times: usize) -> Vec<bool> {
        let mut answered = vec![false; times];
        self.sites.for_each_piece(|site, day, piece| {
            let answered = &mut answered[piece.bucket];
            *answered = *answered
                || (self.cell(series, site, day).is_some()
                    && self.sites.days[site].has_begun(day, &piece.minutes(), self.now));
        });
        if self.sites.query.hours.is_open()
            && !matches!(self.sites.query.bucket.occurrence(), Bucket::Minutes(_))
        {
            self.mark_closed_dates(&mut answered);
        }
        answered
    }

    /// Marks the buckets of dates without opening hours once these dates have begun: their figures are known to be nothing.
    fn mark_closed_dates(&self, begun: &mut [bool]) {
        for date in 0..self.sites.query.dates.len() {
            let (day, bucket) = (
                self.sites.timeline.own_day(date),
                self.sites.timeline.first_bucket(date),
            );
            begun[bucket] |= self.sites.places.iter().any(|site| {
                let days = &self.sites.days[*site];
                let closed = days
                    .windows()
                    .is_some_and(|windows| windows.of(day).is_empty());
                closed && days.has_begun(day, &(0..DAY_MINUTES), self.now)
            });
        }
    }

    /// Adds what one day adds to a column.
    fn tally(&self, column: Column, day: usize, out: &mut ColumnTallies<'_>) {
        match column {
            Column::Sum(series) => self.sums(series, day, out),
            Column::Ratio { part, whole } => self.paired(part, whole, false, day, out),
            Column::Share { part, rest } => self.paired(part, rest, true, day, out),
            Column::WeightedMean { value, weight } => self.weighted(value, weight, day, out),
            Column::Mean(series) | Column::Peak(series) => self.levels(series, column, day, out),
        }
    }

    fn sums(&self, series: usize, day: usize, out: &mut ColumnTallies<'_>) {
        for (nth, site) in self.sites.places.iter().copied().enumerate() {
            let Some(figures) = self.figures(series, site, day) else {
                continue;
            };
            let grid = self.slot_grid(series, site, day);
            for piece in self.sites.counted(nth, day) {
                let Some(tally) = out.of(nth, piece) else {
                    continue;
                };
                let minutes = piece.minutes();
                tally.first = plus(tally.first, figures.sum(grid.slots(&minutes)));
                if let Some(repeated) = grid.repeated_slots(&minutes, figures) {
                    tally.first = plus(tally.first, figures.sum(repeated));
                }
            }
        }
    }

    /// Adds up both sides of a rate, where both were observed. A bucket counts towards neither side if `other` is missing, or, when both
    /// are parts of the denominator, if `part` is missing. A site's day without any `part` counts towards neither side.
    fn paired(
        &self,
        part: usize,
        other: usize,
        both_below: bool,
        day: usize,
        out: &mut ColumnTallies<'_>,
    ) {
        let (mut without_part, mut without_other) = (Vec::new(), Vec::new());
        for (nth, site) in self.sites.places.iter().copied().enumerate() {
            let (Some(part_cell), Some(other_cell)) =
                (self.cell(part, site, day), self.cell(other, site, day))
            else {
                continue;
            };
            let (parts, others) = (part_cell.figures().view(), other_cell.figures().view());
            if !both_below && parts.is_empty() {
                continue;
            }
            let bucket = self.plan.series()[part].bucket;
            let days = &self.sites.days[site];
            let find = |cell: &Cell, missing: &mut Vec<_>| {
                let over = days.minutes_over(day, cell.fetched_at());
                let view = cell.figures().view();
                missing::find(view, bucket, days.shape(day), over, missing);
            };
            find(other_cell, &mut without_other);
            if both_below {
                find(part_cell, &mut without_part);
            }
            let grid = self.slot_grid(part, site, day);
            for piece in self.sites.counted(nth, day) {
                let Some(tally) = out.of(nth, piece) else {
                    continue;
                };
                let minutes = piece.minutes();
                let mut in_rate = false;
                let mut add = |slots: Range<usize>| {
                    let part = sum_outside(parts, slots.clone(), &without_other);
                    tally.first = plus(tally.first, part);
                    let other = sum_outside(others, slots, &without_part);
                    tally.second = plus(tally.second, other);
                    in_rate |= part.is_some() || other.is_some();
                };
                add(grid.slots(&minutes));
                let repeated = grid.repeated_slots(&minutes, parts);
                if let Some(repeated) = repeated.or_else(|| grid.repeated_slots(&minutes, others)) {
                    add(repeated);
                }
                if in_rate && !out.in_rates.is_empty() {
                    let place = out.coverage.place(nth, piece.bucket, out.column);
                    out.in_rates.insert(place);
                }
            }
        }
    }

    fn weighted(&self, value: usize, weight: usize, day: usize, out: &mut ColumnTallies<'_>) {
        for (nth, site) in self.sites.places.iter().copied().enumerate() {
            let (Some(values), Some(weights)) = (
                self.figures(value, site, day),
                self.figures(weight, site, day),
            ) else {
                continue;
            };
            let grid = self.slot_grid(value, site, day);
            for piece in self.sites.counted(nth, day) {
                let Some(tally) = out.of(nth, piece) else {
                    continue;
                };
                let minutes = piece.minutes();
                if self.sites.query.vendor_means
                    && let Some(value) = only_value(values, &grid, &minutes)
                {
                    tally.first = plus(tally.first, Some(value));
                    tally.second = plus(tally.second, Some(1.0));
                    continue;
                }
                let mut add = |slot, value: f64| {
                    if let Some(weight) = weights.get(slot).filter(|weight| *weight > 0.0) {
                        tally.first = plus(tally.first, Some(value * weight));
                        tally.second = plus(tally.second, Some(weight));
                    }
                };
                values.for_each(grid.slots(&minutes), &mut add);
                if let Some(repeated) = grid.repeated_slots(&minutes, values) {
                    values.for_each(repeated, &mut add);
                }
            }
        }
    }

    /// Folds the levels of a day's pieces, with those of the late day before it; each level is the sum over the sites that were observed at
    /// that time.
    fn levels(&self, series: usize, column: Column, day: usize, out: &mut ColumnTallies<'_>) {
        if let [site] = *self.sites.places {
            let Some(figures) = self.figures(series, site, day) else {
                return;
            };
            let grid = self.slot_grid(series, site, day);
            for piece in self.sites.counted(0, day) {
                let Some(tally) = out.of(0, piece) else {
                    continue;
                };
                let minutes = piece.minutes();
                let mut add = |slot, level| {
                    let level = observed(column, level, grid.weight(slot, figures));
                    *tally = tally.merge(level, column);
                };
                figures.for_each(grid.slots(&minutes), &mut add);
                if let Some(repeated) = grid.repeated_slots(&minutes, figures) {
                    figures.for_each(repeated, &mut add);
                }
            }
            return;
        }
        if self.goes_on(day) {
            return;
        }
        let late = day.checked_sub(1).filter(|late| self.goes_on(*late));
        let slots = usize::from(self.plan.series()[series].bucket.slots_per_day());
        let mut levels = Levels::new(slots, late.is_some());
        for day in late.into_iter().chain([day]) {
            self.add_levels(series, column, day, out, &mut levels);
        }
        for Level { bucket, sum, most } in levels.seen() {
            let tally = out.in_bucket(bucket);
            *tally = tally.merge(observed(column, sum, most), column);
        }
    }

    /// Whether `day` is the late day of its date, and also the own day of the next date: the hours of one site that began on the day before
    /// may meet those of another that begin on this day. The hours on the clock are the same at all sites and never meet themselves.
    fn goes_on(&self, day: usize) -> bool {
        let next = day + 1;
        if !self.sites.query.hours.is_open()
            || !self.sites.timeline.is_late(day)
            || next >= self.sites.timeline.days()
        {
            return false;
        }
        // The counterparts of consecutive dates are not always consecutive.
        let spans = self.sites.days[self.sites.places[0]].spans();
        spans[day] == spans[next]
    }

    /// Adds the levels of a day's pieces at all sites.
    fn add_levels(
        &self,
        series: usize,
        column: Column,
        day: usize,
        out: &mut ColumnTallies<'_>,
        levels: &mut Levels,
    ) {
        let slots = usize::from(self.plan.series()[series].bucket.slots_per_day());
        for (nth, site) in self.sites.places.iter().copied().enumerate() {
            let Some(figures) = self.figures(series, site, day) else {
                continue;
            };
            let grid = self.slot_grid(series, site, day);
            for piece in self.sites.counted(nth, day) {
                if out.of(nth, piece).is_none() {
                    continue;
                }
                let minutes = piece.minutes();
                figures.for_each(grid.slots(&minutes), |slot, level| {
                    levels.add(piece, slot, level, grid.weight(slot, figures));
                });
                if let Some(repeated) = grid.repeated_slots(&minutes, figures) {
                    figures.for_each(repeated, |slot, level| {
                        let (first, weight) = (grid.clock_slot(slot), grid.weight(slot, figures));
                        if weight > 0.0 {
                            levels.add(piece, slots + first, level, weight);
                        } else if matches!(column, Column::Peak(_)) {
                            // It may belong to the first occurrence, at which all sites are observed.
                            levels.add(piece, first, level, weight);
                        }
                    });
                }
            }
        }
    }
}

/// The tallies of one column.
struct ColumnTallies<'a> {
    tallies: &'a mut [Tally],
    columns: usize,
    column: usize,
    coverage: &'a GroupCoverage<'a>,
    /// The places of sites with a part in the sums of a rate; empty unless anybody asks for them.
    in_rates: &'a mut FixedBitSet,
}

impl ColumnTallies<'_> {
    /// The tally of the bucket of a `piece`; `None` if the part of the `nth` site of the series is left out there.
    fn of(&mut self, nth: usize, piece: &Piece) -> Option<&mut Tally> {
        let left_out = self.coverage.leaves_out(nth, piece.bucket, self.column);
        (!left_out).then(|| self.in_bucket(piece.bucket))
    }

    fn in_bucket(&mut self, bucket: usize) -> &mut Tally {
        &mut self.tallies[bucket * self.columns + self.column]
    }
}

/// The sum of simultaneous levels.
#[derive(Clone, Copy)]
struct Level {
    bucket: usize,
    sum: f64,
    /// The largest weight of any of them.
    most: f64,
}

/// Levels of one calendar day, summed over sites: by slot, with the second occurrences after all first ones, since the first and the second
/// occurrence of the same clock time are different times.
///
/// Of the same slot, the hours that began on the day before may be in another bucket than those that begin on the day. These come after all
/// others.
struct Levels {
    levels: Vec<Option<Level>>,
    /// Number of slots, with the second occurrences.
    slots: usize,
}

impl Levels {
    fn new(slots: usize, two_dates: bool) -> Self {
        let slots = 2 * slots;
        Self {
            levels: vec![None; if two_dates { 2 * slots } else { slots }],
            slots,
        }
    }

    fn add(&mut self, piece: &Piece, slot: usize, level: f64, weight: f64) {
        let in_other = |known: &Level| known.bucket != piece.bucket;
        let place = if self.levels[slot].as_ref().is_some_and(in_other) {
            self.slots + slot
        } else {
            slot
        };
        let sum = self.levels[place].get_or_insert(Level {
            bucket: piece.bucket,
            sum: 0.0,
            most: 0.0,
        });
        sum.sum = (sum.sum + level).min(f64::MAX);
        sum.most = sum.most.max(weight);
    }

    fn seen(self) -> impl Iterator<Item = Level> {
        self.levels.into_iter().flatten()
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
