//! From cells to rows: the table of how metrics combine, to the letter.

use std::ops::Range;
use std::sync::Arc;

use super::cell::Cell;
use super::figures::Figures;
use super::metric::Metric;
use super::plan::{Column, Plan};
use super::query::{Fill, GroupBy, Query};
use super::table::Table;
use super::timeline::Timeline;
use super::zone::DayShape;

/// The cells of a query: for each series of its plan, each site and each date, a cell or nothing.
#[derive(Clone, Debug)]
pub struct CellGrid {
    sites: usize,
    dates: usize,
    cells: Vec<Option<Cell>>,
}

impl CellGrid {
    /// A grid without cells.
    #[must_use]
    pub fn new(series: usize, sites: usize, dates: usize) -> Self {
        Self {
            sites,
            dates,
            cells: vec![None; series * sites * dates],
        }
    }

    /// Where the cell of `series`, `site` and `date` stands; each counts from 0 in the order of plan and query.
    #[must_use]
    pub fn index(&self, series: usize, site: usize, date: usize) -> usize {
        (series * self.sites + site) * self.dates + date
    }

    /// Puts a cell at an [`index`](Self::index).
    pub fn set(&mut self, index: usize, cell: Cell) {
        self.cells[index] = Some(cell);
    }

    /// The cell at an [`index`](Self::index).
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Cell> {
        self.cells[index].as_ref()
    }

    fn figures(&self, series: usize, site: usize, date: usize) -> Option<&Figures> {
        self.get(self.index(series, site, date)).map(Cell::figures)
    }
}

/// The shapes of a site's days, in the order of the query's dates; empty where every day is an ordinary one.
pub type DayShapes = Arc<[DayShape]>;

/// Rolls up `grid` to the rows of `query`; `shapes` has an entry for each site.
#[must_use]
pub fn roll_up(query: &Query, plan: &Plan, grid: &CellGrid, shapes: &[DayShapes]) -> Table {
    let timeline = Timeline::new(query);
    let groups: Vec<_> = match query.group_by {
        GroupBy::Site => query.sites.iter().copied().map(Some).collect(),
        GroupBy::None => vec![None],
    };
    let mut table = Table::new(groups, timeline.starts().to_vec(), query.metrics.clone());
    for group in 0..table.groups().len() {
        let sites = match query.group_by {
            GroupBy::Site => group..group + 1,
            GroupBy::None => 0..query.sites.len(),
        };
        let roll = GroupRoll {
            query,
            plan,
            grid,
            shapes,
            timeline: &timeline,
            sites,
        };
        roll.write(&mut table, group);
    }
    table
}

/// One series of rows in the making.
struct GroupRoll<'a> {
    query: &'a Query,
    plan: &'a Plan,
    grid: &'a CellGrid,
    shapes: &'a [DayShapes],
    timeline: &'a Timeline,
    sites: Range<usize>,
}

impl GroupRoll<'_> {
    fn write(&self, table: &mut Table, group: usize) {
        let times = self.timeline.starts().len();
        let columns = self.plan.columns.len();
        let mut tallies = vec![Tally::default(); times * columns];
        for date in 0..self.query.dates.len() {
            for (column, kind) in self.plan.columns.iter().enumerate() {
                for (bucket, minutes) in self.timeline.of_date(date) {
                    let tally = self.tally(*kind, date, &minutes);
                    let sum = &mut tallies[bucket * columns + column];
                    *sum = sum.merge(tally, *kind);
                }
            }
        }
        let skipped = self.skipped_buckets(times);
        for time in 0..times {
            let row = table.row_mut(group, time);
            for (column, value) in row.iter_mut().enumerate() {
                *value = tallies[time * columns + column].result(self.plan.columns[column]);
            }
            let nothing = row.iter().all(|value| value.is_nan());
            if self.query.fill == Fill::Zero {
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

    /// Which buckets lie wholly in a stretch that DST skips at every site: nobody expects them. Empty where none does.
    fn skipped_buckets(&self, times: usize) -> Vec<bool> {
        if self.shapes[self.sites.clone()]
            .iter()
            .any(|shapes| shapes.is_empty())
        {
            return Vec::new();
        }
        let mut skipped = vec![true; times];
        for date in 0..self.query.dates.len() {
            for (bucket, minutes) in self.timeline.of_date(date) {
                skipped[bucket] &= self
                    .sites
                    .clone()
                    .all(|site| self.shapes[site][date].skips(minutes.start, minutes.end));
            }
        }
        skipped
    }

    /// What one date's `minutes` add to a column.
    fn tally(&self, column: Column, date: usize, minutes: &Range<u16>) -> Tally {
        match column {
            Column::Sum(series) => Tally {
                first: self.sum(series, date, minutes),
                ..Tally::default()
            },
            Column::Ratio { part, whole } => Tally {
                first: self.sum(part, date, minutes),
                second: self.sum(whole, date, minutes),
            },
            Column::Share { part, rest } => Tally {
                first: self.sum(part, date, minutes),
                second: self.sum(rest, date, minutes),
            },
            Column::WeightedMean { value, weight } => self.weighted(value, weight, date, minutes),
            Column::Mean(series) => self.levels(series, date, minutes, |levels, level| {
                levels.merge(
                    Tally {
                        first: Some(level),
                        second: Some(1.0),
                    },
                    column,
                )
            }),
            Column::Peak(series) => self.levels(series, date, minutes, |levels, level| {
                levels.merge(
                    Tally {
                        first: Some(level),
                        second: None,
                    },
                    column,
                )
            }),
        }
    }

    fn sum(&self, series: usize, date: usize, minutes: &Range<u16>) -> Option<f64> {
        self.sites.clone().fold(None, |sum, site| {
            let Some(figures) = self.grid.figures(series, site, date) else {
                return sum;
            };
            let grid = self.slot_grid(series, site, date);
            let sum = plus(sum, figures.sum(grid.slots(minutes)));
            match grid.repeated_slots(minutes, figures) {
                Some(repeated) => plus(sum, figures.sum(repeated)),
                None => sum,
            }
        })
    }

    fn weighted(&self, value: usize, weight: usize, date: usize, minutes: &Range<u16>) -> Tally {
        let mut tally = Tally::default();
        for site in self.sites.clone() {
            let (Some(values), Some(weights)) = (
                self.grid.figures(value, site, date),
                self.grid.figures(weight, site, date),
            ) else {
                continue;
            };
            let mut add = |slot, value: f64| {
                if let Some(weight) = weights.get(slot).filter(|weight| *weight > 0.0) {
                    tally.first = plus(tally.first, Some(value * weight));
                    tally.second = plus(tally.second, Some(weight));
                }
            };
            let grid = self.slot_grid(value, site, date);
            values.for_each(grid.slots(minutes), &mut add);
            if let Some(repeated) = grid.repeated_slots(minutes, values) {
                values.for_each(repeated, &mut add);
            }
        }
        tally
    }

    /// Folds the levels of a date's `minutes`, each summed over the sites that were observed at that time.
    fn levels(
        &self,
        series: usize,
        date: usize,
        minutes: &Range<u16>,
        fold: impl Fn(Tally, f64) -> Tally,
    ) -> Tally {
        let mut tally = Tally::default();
        if self.sites.len() == 1 {
            let site = self.sites.start;
            let Some(figures) = self.grid.figures(series, site, date) else {
                return tally;
            };
            let grid = self.slot_grid(series, site, date);
            figures.for_each(grid.slots(minutes), |_, level| tally = fold(tally, level));
            if let Some(repeated) = grid.repeated_slots(minutes, figures) {
                figures.for_each(repeated, |_, level| tally = fold(tally, level));
            }
            return tally;
        }
        // First and second occurrences of the same time on the clock are different times.
        let bucket = self.plan.series()[series].bucket;
        let first_slot = usize::from(minutes.start / bucket.minutes());
        let slots = usize::from((minutes.end - minutes.start) / bucket.minutes());
        let mut levels: Vec<Option<f64>> = vec![None; 2 * slots];
        for site in self.sites.clone() {
            let Some(figures) = self.grid.figures(series, site, date) else {
                continue;
            };
            let grid = self.slot_grid(series, site, date);
            figures.for_each(grid.slots(minutes), |slot, level| {
                let sum = &mut levels[slot - first_slot];
                *sum = plus(*sum, Some(level));
            });
            if let Some(repeated) = grid.repeated_slots(minutes, figures) {
                figures.for_each(repeated, |slot, level| {
                    let sum = &mut levels[slots + grid.clock_slot(slot) - first_slot];
                    *sum = plus(*sum, Some(level));
                });
            }
        }
        levels.into_iter().flatten().fold(tally, fold)
    }

    fn slot_grid(&self, series: usize, site: usize, date: usize) -> SlotGrid {
        let bucket = self.plan.series()[series].bucket;
        let fold = self.shapes[site]
            .get(date)
            .and_then(|shape| shape.repeated(bucket));
        SlotGrid {
            minutes: bucket.minutes(),
            slots_per_day: bucket.slots_per_day(),
            fold,
        }
    }
}

/// Where a day's minutes stand among the slots of its figures.
struct SlotGrid {
    minutes: u16,
    slots_per_day: u16,
    fold: Option<Range<u16>>,
}

impl SlotGrid {
    fn slots(&self, minutes: &Range<u16>) -> Range<usize> {
        usize::from(minutes.start / self.minutes)..usize::from(minutes.end / self.minutes)
    }

    /// The slots of the second occurrences of `minutes`, which stand behind the day's own.
    fn repeated_slots(&self, minutes: &Range<u16>, figures: &Figures) -> Option<Range<usize>> {
        if figures.slots() <= usize::from(self.slots_per_day) {
            return None;
        }
        let fold = self.fold.as_ref()?;
        let (from, to) = (minutes.start.max(fold.start), minutes.end.min(fold.end));
        let slot =
            |minute: u16| usize::from(self.slots_per_day + (minute - fold.start) / self.minutes);
        (from < to).then(|| slot(from)..slot(to))
    }

    /// The slot of the first occurrence of a repeated slot.
    fn clock_slot(&self, repeated: usize) -> usize {
        let start = self
            .fold
            .as_ref()
            .map_or(0, |fold| fold.start / self.minutes);
        repeated - usize::from(self.slots_per_day) + usize::from(start)
    }
}

/// What has been seen so far of one column in one bucket. Merging is associative, so any split of the work gives the same answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    first: Option<f64>,
    second: Option<f64>,
}

impl Tally {
    fn merge(self, other: Self, column: Column) -> Self {
        let first = match (column, self.first, other.first) {
            (Column::Peak(_), Some(one), Some(two)) => Some(one.max(two)),
            (_, one, two) => plus(one, two),
        };
        Self {
            first,
            second: plus(self.second, other.second),
        }
    }

    fn result(self, column: Column) -> f64 {
        let quotient = |part: Option<f64>, whole: Option<f64>| match (part, whole) {
            (Some(part), Some(whole)) if whole > 0.0 => Some(part / whole),
            _ => None,
        };
        let result = match column {
            Column::Sum(_) | Column::Peak(_) => self.first,
            Column::Mean(_) | Column::WeightedMean { .. } | Column::Ratio { .. } => {
                quotient(self.first, self.second)
            }
            Column::Share { .. } => self
                .second
                .and_then(|rest| quotient(self.first, plus(self.first, Some(rest)))),
        };
        result
            .filter(|result| result.is_finite())
            .unwrap_or(f64::NAN)
    }
}

/// A sum over what was observed; saturates instead of becoming infinite.
fn plus(one: Option<f64>, two: Option<f64>) -> Option<f64> {
    match (one, two) {
        (Some(one), Some(two)) => Some((one + two).min(f64::MAX)),
        (one, two) => one.or(two),
    }
}
