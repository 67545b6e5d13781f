//! The unit of storage: the cells of one month of one site's metric.

use jiff::civil::Date;

use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::metric::VendorMetric;
use crate::domain::site::{CustomerId, SiteId};

/// Which cells a page holds: all of one series at one site in one calendar month.
///
/// A look-up in the map costs more than reading a cell, so that months are stored together: a year of a site's metric is twelve look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) customer: CustomerId,
    pub(super) site: SiteId,
    pub(super) metric: VendorMetric,
    pub(super) bucket: VendorBucket,
    pub(super) year: i16,
    pub(super) month: i8,
}

impl PageKey {
    pub(super) fn of(cell: &CellKey) -> Self {
        Self {
            customer: cell.customer,
            site: cell.site,
            metric: cell.metric,
            bucket: cell.bucket,
            year: cell.date.year(),
            month: cell.date.month(),
        }
    }
}

/// The cells of a page, by day of the month.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// Bit `d` is set if day `d` has a cell.
    days: u32,
    /// The cells, in order of their days.
    cells: Box<[Cell]>,
}

impl Page {
    /// The cell of that date; the caller knows that its month is the page's.
    pub(super) fn get(&self, date: Date) -> Option<&Cell> {
        let bit = day_bit(date);
        (self.days & bit != 0).then(|| &self.cells[(self.days & (bit - 1)).count_ones() as usize])
    }

    /// The page with `cells` put in, where they are newer than what is there.
    pub(super) fn with(&self, cells: impl IntoIterator<Item = (Date, Cell)>) -> Self {
        let mut days: [Option<Cell>; 32] = std::array::from_fn(|_| None);
        let mut old = self.cells.iter();
        for (day, slot) in days.iter_mut().enumerate() {
            if self.days & (1 << day) != 0 {
                *slot = old.next().cloned();
            }
        }
        for (date, cell) in cells {
            let slot = &mut days[day_of(date)];
            if slot
                .as_ref()
                .is_none_or(|known| known.fetched_at() <= cell.fetched_at())
            {
                *slot = Some(cell);
            }
        }
        Self::from_days(days)
    }

    /// The page without the cells of the dates that `forget` picks, and how many these were.
    pub(super) fn without(&self, key: &PageKey, forget: impl Fn(Date) -> bool) -> (Self, u64) {
        let mut days: [Option<Cell>; 32] = std::array::from_fn(|_| None);
        let mut forgotten = 0;
        let mut cells = self.cells.iter();
        for day in (1..32_i8).filter(|day| self.days & (1 << day) != 0) {
            let cell = cells.next().cloned();
            match Date::new(key.year, key.month, day) {
                Ok(date) if forget(date) => forgotten += 1,
                _ => days[day.unsigned_abs() as usize] = cell,
            }
        }
        (Self::from_days(days), forgotten)
    }

    fn from_days(days: [Option<Cell>; 32]) -> Self {
        let mut mask = 0;
        for (day, cell) in days.iter().enumerate() {
            mask |= u32::from(cell.is_some()) << day;
        }
        Self {
            days: mask,
            cells: days.into_iter().flatten().collect(),
        }
    }

    /// How many cells it has.
    pub(super) fn len(&self) -> u64 {
        self.cells.len() as u64
    }

    /// The bytes that it holds, itself included.
    pub(super) fn bytes(&self) -> usize {
        let cells: usize = self
            .cells
            .iter()
            .map(|cell| size_of::<Cell>() + cell.figures().heap_bytes())
            .sum();
        size_of::<Self>() + cells
    }
}

fn day_of(date: Date) -> usize {
    usize::from(date.day().unsigned_abs())
}

fn day_bit(date: Date) -> u32 {
    1 << day_of(date)
}
