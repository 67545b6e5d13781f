//! Counts what was expected of each row of a group, and what was observed.

use std::ops::Range;

use fixedbitset::FixedBitSet;

use super::source::GroupRoll;
use crate::domain::cell::{Age, Cell};
use crate::domain::coverage::{Basis, Counted, Sites};
use crate::domain::missing;
use crate::domain::plan::Column;
use crate::domain::query::GroupBy;
use crate::domain::timeline::Piece;

/// The coverage of a group's rows.
pub(super) struct GroupCoverage<'a> {
    columns: &'a [Column],
    times: usize,
    min: f64,
    /// By series, then time, over all sites.
    counted: Vec<Counted>,
    /// The parts of sites that are left out; only if several sites are combined, and the query asks for a least coverage.
    parts: Option<LeftOut>,
    /// By time; empty unless several sites are combined, and the query asks for them.
    sites: Vec<Sites>,
    /// By time, then column: the number of sites whose part is in the figure, without those of the rates; empty like `sites`.
    observed: Vec<u32>,
    /// By site, then time, then column: the sites that have figures of both sides of a rate; empty like `sites`.
    rates: FixedBitSet,
}

/// The parts of sites that are left out of a combined row.
struct LeftOut {
    /// By site of the series, then time, then column.
    parts: FixedBitSet,
    /// By time, then column: whether the part of any site is left out.
    any: FixedBitSet,
    /// By time: whether any of the parts has a figure.
    with_figures: FixedBitSet,
}

impl<'a> GroupCoverage<'a> {
    pub(super) fn of(roll: &'a GroupRoll<'_>) -> Self {
        let (times, columns) = (roll.sites.timeline.starts().len(), &roll.plan.columns[..]);
        let series = roll.plan.series().len();
        let combined = roll.sites.query.group_by != GroupBy::Site;
        let least = roll.sites.query.min_coverage;
        let mut coverage = Self {
            columns,
            times,
            min: least.get(),
            counted: vec![Counted::default(); series * times],
            parts: (combined && !least.is_none()).then(|| LeftOut {
                parts: FixedBitSet::with_capacity(roll.sites.places.len() * times * columns.len()),
                any: FixedBitSet::with_capacity(times * columns.len()),
                with_figures: FixedBitSet::with_capacity(times),
            }),
            sites: Vec::new(),
            observed: Vec::new(),
            rates: FixedBitSet::new(),
        };
        let mut scratch = Scratch::default();
        let asked = roll.sites.query.include.coverage && combined;
        if !asked && coverage.parts.is_none() {
            for nth in 0..roll.sites.places.len() {
                scratch.count_site(roll, nth, &mut coverage.counted);
            }
            return coverage;
        }
        if asked {
            coverage.sites = vec![Sites::default(); times];
            coverage.observed = vec![0; times * columns.len()];
            if columns.iter().any(is_rate) {
                coverage.rates =
                    FixedBitSet::with_capacity(roll.sites.places.len() * times * columns.len());
            }
        }
        let mut of_site = vec![Counted::default(); series * times];
        let mut seen = FixedBitSet::with_capacity(if asked { series * times } else { 0 });
        for nth in 0..roll.sites.places.len() {
            of_site.fill(Counted::default());
            scratch.count_site(roll, nth, &mut of_site);
            for (sum, counted) in coverage.counted.iter_mut().zip(&of_site) {
                sum.add(*counted);
            }
            coverage.leave_out(nth, &of_site);
            if asked {
                see(roll, nth, times, &mut seen);
                coverage.count_sites(nth, &of_site, &seen);
            }
        }
        coverage
    }

    /// Leaves out the parts of the `nth` site whose coverage is too low.
    fn leave_out(&mut self, nth: usize, counted: &[Counted]) {
        let Some(left_out) = &mut self.parts else {
            return;
        };
        let columns = self.columns.len();
        for time in 0..self.times {
            for (column, kind) in self.columns.iter().enumerate() {
                if share_of(*kind, counted, self.times, time) < self.min {
                    let at = time * columns + column;
                    let first = nth * self.times * columns;
                    left_out.parts.insert(first + at);
                    left_out.any.insert(at);
                    let observed = |series: usize| counted[series * self.times + time].observed > 0;
                    if kind.series().any(observed) {
                        left_out.with_figures.insert(time);
                    }
                }
            }
        }
    }

    /// Counts the `nth` site in the rows that expect it, and in the figures that it is part of.
    fn count_sites(&mut self, nth: usize, counted: &[Counted], seen: &FixedBitSet) {
        let columns = self.columns.len();
        for time in 0..self.times {
            let at = |series: usize| series * self.times + time;
            let expected = self.columns.iter().flat_map(|column| column.series());
            let expected = expected
                .into_iter()
                .any(|series| counted[at(series)].expected > 0);
            self.sites[time].expected += u32::from(expected);
            for (column, kind) in self.columns.iter().enumerate() {
                let is_part = kind.series().all(|series| seen.contains(at(series)))
                    && !self.leaves_out(nth, time, column);
                if is_rate(kind) && is_part {
                    self.rates.insert(self.place(nth, time, column));
                } else {
                    self.observed[time * columns + column] += u32::from(is_part);
                }
            }
        }
    }

    /// Whether the part of the `nth` site of the series is left out of a combined figure.
    pub(super) fn leaves_out(&self, nth: usize, time: usize, column: usize) -> bool {
        let left_out = self.parts.as_ref();
        left_out.is_some_and(|it| it.parts.contains(self.place(nth, time, column)))
    }

    /// Whether a figure is withheld, or the part of a site is left out of it.
    pub(super) fn withholds(&self, time: usize, column: usize) -> bool {
        match &self.parts {
            Some(left_out) => left_out.any.contains(time * self.columns.len() + column),
            None => share_of(self.columns[column], &self.counted, self.times, time) < self.min,
        }
    }

    /// Whether a row without a figure would have one if no part of it was left out.
    pub(super) fn leaves_out_figures(&self, time: usize) -> bool {
        let left_out = self.parts.as_ref();
        left_out.is_some_and(|left_out| left_out.with_figures.contains(time))
    }

    /// Whether a figure whose coverage is too low is withheld as a whole, rather than some sites' parts of it.
    pub(super) const fn is_of_one_site(&self) -> bool {
        self.parts.is_none()
    }

    /// Writes the coverage of each row, by time: the least of the vendor's metrics that its metrics are made of; NaN if nothing was
    /// expected.
    pub(super) fn write_shares(&self, shares: &mut [f64]) {
        shares.fill(f64::NAN);
        for counted in self.counted.chunks(self.times.max(1)) {
            for (share, counted) in shares.iter_mut().zip(counted) {
                // `min` ignores NaN.
                *share = share.min(counted.share());
            }
        }
    }

    /// No place of a site's part in a rate yet, if the query asks for such sites.
    pub(super) fn no_rates(&self) -> FixedBitSet {
        FixedBitSet::with_capacity(self.rates.len())
    }

    /// The place of a site's part in a figure.
    pub(super) const fn place(&self, nth: usize, time: usize, column: usize) -> usize {
        (nth * self.times + time) * self.columns.len() + column
    }

    /// The sites of each row, of which those at the places `in_rates` have a part in the sums of a rate; empty unless the query asks for
    /// them.
    pub(super) fn into_sites(mut self, in_rates: &FixedBitSet) -> Vec<Sites> {
        for place in self.rates.intersection(in_rates) {
            let figures = self.observed.len();
            self.observed[place % figures] += 1;
        }
        let of_rows = self.observed.chunks(self.columns.len());
        for (sites, observed) in self.sites.iter_mut().zip(of_rows) {
            let least = observed.iter().copied().min();
            sites.observed = least.expect("a query has a metric");
        }
        self.sites
    }
}

/// Whether only figures count that were observed on both sides.
const fn is_rate(column: &Column) -> bool {
    matches!(column, Column::Ratio { .. } | Column::Share { .. })
}

/// The coverage of one metric at one time: the least of the vendor's metrics that it is made of; NaN if nothing was expected.
fn share_of(column: Column, counted: &[Counted], times: usize, time: usize) -> f64 {
    let shares = column.series();
    let shares = shares.map(|series| counted[series * times + time].share());
    // `min` ignores NaN.
    shares.fold(f64::NAN, f64::min)
}

/// Marks the rows, by series, then time, in which the group's site at place `nth` has a figure.
fn see(roll: &GroupRoll<'_>, nth: usize, times: usize, seen: &mut FixedBitSet) {
    seen.clear();
    let site = roll.sites.places[nth];
    for series in 0..roll.plan.series().len() {
        for day in 0..roll.sites.timeline.days() {
            let Some(cell) = roll.cell(series, site, day) else {
                continue;
            };
            let (figures, grid) = (cell.figures().view(), roll.slot_grid(series, site, day));
            for piece in roll.sites.counted(nth, day) {
                let minutes = piece.minutes();
                let repeated = grid.repeated_slots(&minutes, figures);
                if figures.has_any(grid.slots(&minutes))
                    || repeated.is_some_and(|repeated| figures.has_any(repeated))
                {
                    seen.insert(series * times + piece.bucket);
                }
            }
        }
    }
}

/// Memory that each count uses again.
#[derive(Default)]
struct Scratch {
    over: Vec<Range<usize>>,
    missing: Vec<Range<usize>>,
}

impl Scratch {
    /// Adds the count of the buckets of the group's site at place `nth`, by series, then time.
    fn count_site(&mut self, roll: &GroupRoll<'_>, nth: usize, counted: &mut [Counted]) {
        let times = roll.sites.timeline.starts().len();
        let (site, by_day) = (roll.sites.places[nth], roll.sites.basis(nth) == Basis::Days);
        let days = &roll.sites.days[site];
        let now = Age::new(roll.now, None);
        let lacks_nothing = |cell: &Cell, slots: &Range<usize>| {
            let figures = cell.figures();
            if by_day {
                !figures.is_empty()
            } else {
                figures.span_is_full_over(slots)
            }
        };
        for (series, counted) in counted.chunks_mut(times.max(1)).enumerate() {
            let bucket = roll.plan.series()[series].bucket;
            let expected = roll.sites.expected_slots(nth, bucket);
            // As if each day was an ordinary one that is over, and nothing was missing.
            for (counted, whole) in counted.iter_mut().zip(&expected.whole) {
                counted.add(*whole);
            }
            let (cells, ends) = (roll.grid.line(series, site), days.ordinary_ends());
            debug_assert_eq!(
                (cells.len(), ends.len()),
                (expected.of_days.len(), cells.len())
            );
            for (day, ((slots, cell), end)) in
                expected.of_days.iter().zip(cells).zip(ends).enumerate()
            {
                let age = cell.as_ref().map_or(now, Cell::age);
                let is_whole = age.is_computed_since(*end);
                let right = |cell: &Cell| is_whole && lacks_nothing(cell, slots);
                if !cell.as_ref().is_some_and(right) && !slots.is_empty() {
                    self.correct_day(roll, (series, nth, day), is_whole, slots, counted);
                }
            }
        }
    }

    /// Corrects the count of the buckets, by time, for a series at the group's site at place `nth` on a calendar day, all whose expected
    /// `slots` were counted as observed; `is_whole` tells whether it is an ordinary day that is over.
    fn correct_day(
        &mut self,
        roll: &GroupRoll<'_>,
        (series, nth, day): (usize, usize, usize),
        is_whole: bool,
        slots: &Range<usize>,
        counted: &mut [Counted],
    ) {
        let site = roll.sites.places[nth];
        let cell = roll.cell(series, site, day);
        let figures = cell.map(|cell| cell.figures().view());
        let figures = figures.filter(|figures| !figures.is_empty());
        let bucket = roll.plan.series()[series].bucket;
        let slots_of = |piece: &Piece| bucket.whole_slots(&piece.minutes());
        self.missing.clear();
        if figures.is_none() {
            self.missing.push(0..usize::MAX);
        }
        if is_whole {
            // By days, a day with any figure needs no correction.
            if let Some(figures) = figures {
                missing::for_each_of_ordinary_day(figures, bucket, |gap| {
                    if gap.start < slots.end && slots.start < gap.end {
                        self.missing.push(gap);
                    }
                });
            }
            if !self.missing.is_empty() {
                for piece in roll.sites.expected(nth, day) {
                    let lacks = overlap(&slots_of(piece), &self.missing);
                    counted[piece.bucket].observed -= number(lacks);
                }
            }
            return;
        }
        let days = &roll.sites.days[site];
        let as_of = cell.map_or(roll.now, Cell::as_of);
        let (shape, passed) = (days.shape(day), days.minutes_over_everywhere(day, as_of));
        if let Some(figures) = figures
            && roll.sites.basis(nth) != Basis::Days
        {
            missing::find(figures, bucket, shape, passed, &mut self.missing);
        }
        missing::over(bucket, shape, passed, &mut self.over);
        let grid = roll.slot_grid(series, site, day);
        for piece in roll.sites.expected(nth, day) {
            let own = slots_of(piece);
            let counted = &mut counted[piece.bucket];
            counted.expected -= number(own.len());
            counted.observed -= number(own.len());
            let repeated = grid.repeated(&own).unwrap_or(0..0);
            for slots in [own, repeated] {
                for over in &self.over {
                    let over = slots.start.max(over.start)..slots.end.min(over.end);
                    counted.add(Counted {
                        expected: number(over.len()),
                        observed: number(over.len() - overlap(&over, &self.missing)),
                    });
                }
            }
        }
    }
}

fn number(slots: usize) -> u32 {
    u32::try_from(slots).expect("a day has at most 576 slots")
}

/// Number of `slots` in `ranges`, which do not overlap.
fn overlap(slots: &Range<usize>, ranges: &[Range<usize>]) -> usize {
    let common = |range: &Range<usize>| {
        let end = slots.end.min(range.end);
        end.saturating_sub(slots.start.max(range.start))
    };
    ranges.iter().map(common).sum()
}
