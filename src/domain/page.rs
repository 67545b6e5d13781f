//! The unit of storage: the cells of one month of one site's metric.
//!
//! A moka look-up costs about a microsecond, and 200 sites × 366 days are 73,200 cells. `cache` stores the cells of one site's metric by
//! calendar month, so that this query is 2,600 look-ups, and a tier hands them over by month as well. The cell stays the unit of freshness
//! and of fetching. A page has its figures in one piece of memory, of which a cell is a window that keeps it alive, and stores the age of
//! the cells of one report once. A refreshed day copies the page, a few microseconds. The service computes the expiry of the cells of one
//! zone, date and report once: computing it for each cell cost as much as rolling the cell up.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use super::cell::{Age, Cell, CellKey};
use super::figures::{Bundle, Figures};
use super::month::{SeriesMonth, bit_of};

/// The cells of a page, by day of the month.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Bit `d` is set if day `d` has a cell.
    days: u32,
    /// The ages of the cells: usually all are from one report, and have one age.
    ages: Box<[DaysOfAge]>,
    /// The figures, in order of their days.
    figures: Bundle,
}

/// Some cells of a page.
#[derive(Clone, Debug)]
pub struct PageDays {
    /// The month of the page.
    pub month: SeriesMonth,
    /// Bit `d` is set for day `d`; the page has a cell of each.
    pub days: u32,
    /// The page.
    pub page: Arc<Page>,
}

/// The days of a page whose cells have one age.
#[derive(Clone, Copy, Debug)]
pub struct DaysOfAge {
    /// Bit `d` is set for day `d`.
    pub days: u32,
    /// When they were requested and computed.
    pub age: Age,
}

impl Page {
    /// The page of these cells, which have one month.
    pub fn of(cells: impl IntoIterator<Item = (Date, Cell)>) -> Self {
        Self::default().with(cells)
    }

    /// The page of these figures, in order of their days, and their ages. `None` if a day has no age or two, or no figures.
    #[must_use]
    pub fn of_ages(ages: Box<[DaysOfAge]>, figures: Bundle) -> Option<Self> {
        let mut days = 0;
        for of_age in &ages {
            if days & of_age.days != 0 {
                return None;
            }
            days |= of_age.days;
        }
        (days.count_ones() as usize == figures.len()).then_some(Self {
            days,
            ages,
            figures,
        })
    }

    /// The days that have a cell: bit `d` is set for day `d`.
    #[must_use]
    pub const fn days(&self) -> u32 {
        self.days
    }

    /// The ages of its cells, and the days of each.
    #[must_use]
    pub const fn ages(&self) -> &[DaysOfAge] {
        &self.ages
    }

    /// The same figures at other ages.
    #[must_use]
    pub fn aged(mut self, other: impl Fn(Age) -> Age) -> Self {
        for of_age in &mut self.ages {
            of_age.age = other(of_age.age);
        }
        self
    }

    /// The cell of that date; the caller knows that its month is the page's.
    #[must_use]
    pub fn get(&self, date: Date) -> Option<Cell> {
        self.of_day(day_of(date))
    }

    /// The cells, ascending, by the `date` of each day.
    pub fn cells(&self, date: impl Fn(i8) -> Option<Date>) -> impl Iterator<Item = (Date, Cell)> {
        (1..=31).filter_map(move |day| {
            Some((date(day)?, self.of_day(usize::from(day.unsigned_abs()))?))
        })
    }

    /// The number of buckets in the day of each cell.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.figures.slots()
    }

    fn of_day(&self, day: usize) -> Option<Cell> {
        let bit = 1 << day;
        if self.days & bit == 0 {
            return None;
        }
        let age = self.ages.iter().find(|ages| ages.days & bit != 0)?.age;
        let nth = (self.days & (bit - 1)).count_ones() as usize;
        Some(Cell::of_age(self.figures.get(nth)?, age))
    }

    fn by_day(&self) -> [Option<Cell>; 32] {
        std::array::from_fn(|day| self.of_day(day))
    }

    /// The page with those of `cells` that are newer than its own.
    #[must_use]
    pub fn with(&self, cells: impl IntoIterator<Item = (Date, Cell)>) -> Self {
        let mut days = self.by_day();
        for (date, cell) in cells {
            let known = &mut days[day_of(date)];
            *known = newer(known.take(), Some(cell));
        }
        Self::from_days(&days)
    }

    /// Two pages of one month merged: the newer cell of each day.
    #[must_use]
    pub fn newest_of(&self, other: &Self) -> Self {
        let mut days = self.by_day();
        for (day, cell) in days.iter_mut().zip(other.by_day()) {
            *day = newer(day.take(), cell);
        }
        Self::from_days(&days)
    }

    /// The page without the cells of `days` (bit `d`: day `d`), and the number of those cells.
    #[must_use]
    pub fn without(&self, days: u32) -> (Self, u64) {
        let forgotten = self.days & days;
        if forgotten == 0 {
            return (self.clone(), 0);
        }
        let stays = |day: usize| forgotten & (1 << day) == 0;
        let rest = std::array::from_fn(|day| stays(day).then(|| self.of_day(day))?);
        (Self::from_days(&rest), forgotten.count_ones().into())
    }

    /// The days whose cells were requested later than `now`.
    #[must_use]
    pub fn later_than(&self, now: Timestamp) -> u32 {
        let later = self
            .ages
            .iter()
            .filter(|of_age| now < of_age.age.fetched_at());
        later.fold(0, |days, of_age| days | of_age.days)
    }

    fn from_days(days: &[Option<Cell>; 32]) -> Self {
        let mut ages: Vec<DaysOfAge> = Vec::new();
        for (day, cell) in days.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let (bit, age) = (1 << day, cell.age());
            match ages.iter_mut().find(|known| known.age == age) {
                Some(known) => known.days |= bit,
                None => ages.push(DaysOfAge { days: bit, age }),
            }
        }
        let figures: Vec<&Figures> = days.iter().flatten().map(Cell::figures).collect();
        Self {
            days: ages.iter().fold(0, |days, of_age| days | of_age.days),
            ages: ages.into(),
            figures: Bundle::new(&figures),
        }
    }

    /// When its newest cell was requested.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.ages.iter().map(|ages| ages.age.fetched_at()).max()
    }

    /// How many cells it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.figures.len() as u64
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.days == 0
    }

    /// Its size in bytes, including the struct itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.ages) + self.figures.heap_bytes()
    }
}

impl PageDays {
    /// The cell of that date; the caller knows that its month is this one.
    #[must_use]
    pub fn get(&self, date: Date) -> Option<Cell> {
        (self.days & bit_of(date) != 0).then(|| self.page.get(date))?
    }

    /// The page of those cells whose days are in `days` as well.
    #[must_use]
    pub fn only(&self, days: u32) -> Arc<Page> {
        let others = self.page.days & !(self.days & days);
        if others == 0 {
            Arc::clone(&self.page)
        } else {
            Arc::new(self.page.without(others).0)
        }
    }

    /// The cells, ascending by date.
    pub fn cells(&self) -> impl Iterator<Item = (CellKey, Cell)> {
        let date = |day| self.month.date(day).filter(|_| self.days & 1 << day != 0);
        let cells = self.page.cells(date);
        cells.map(|(date, cell)| (self.month.cell(date), cell))
    }
}

/// Pages are equal if they have the same cells.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.by_day() == other.by_day()
    }
}

impl Eq for Page {}

/// The newer one of two cells of one day.
pub(crate) fn newer(one: Option<Cell>, other: Option<Cell>) -> Option<Cell> {
    match (one, other) {
        (Some(one), Some(other)) if other.fetched_at() < one.fetched_at() => Some(one),
        (one, other) => other.or(one),
    }
}

fn day_of(date: Date) -> usize {
    usize::from(date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    /// A distinguishable cell: it has one figure, fetched at that second.
    fn cell((second, figure): (i64, Option<u16>)) -> Cell {
        let fetched = Timestamp::from_second(second).unwrap();
        Cell::new(
            Figures::pack(&[None, figure.map(f64::from), None]),
            fetched,
            None,
        )
    }

    fn on(day: u8) -> Date {
        date(2026, 1, day.cast_signed())
    }

    proptest! {
        #[test]
        fn a_page_keeps_the_newer_cell_of_each_day(
            versions in prop::collection::vec(prop::collection::vec((1_u8..=31, (0_i64..4, any::<Option<u16>>())), 0..40), 0..6),
        ) {
            let mut page = Page::default();
            let mut newest: [Option<Cell>; 32] = [const { None }; 32];
            for version in &versions {
                page = page.with(version.iter().map(|(day, what)| (on(*day), cell(*what))));
                for (day, what) in version {
                    let known = &mut newest[usize::from(*day)];
                    if known.as_ref().is_none_or(|known| known.fetched_at().as_second() <= what.0) {
                        *known = Some(cell(*what));
                    }
                }
            }

            for day in 1..=31 {
                prop_assert_eq!(&page.get(on(day)), &newest[usize::from(day)]);
            }
            prop_assert_eq!(page.len(), newest.iter().flatten().count() as u64);
        }

        #[test]
        fn a_page_forgets_the_days_it_is_told_to_and_no_others(held in any::<u32>(), forgotten in any::<u32>()) {
            let days = || (1_u8..=31).filter(|day| held & 1 << day != 0);
            let page = Page::default().with(days().map(|day| (on(day), cell((day.into(), Some(day.into()))))));
            let (rest, count) = page.without(forgotten);

            for day in 1..=31 {
                let stays = forgotten & 1 << day == 0;
                prop_assert_eq!(rest.get(on(day)), page.get(on(day)).filter(|_| stays));
            }
            prop_assert_eq!(rest.len() + count, days().count() as u64);
        }

        #[test]
        fn a_page_knows_which_days_are_later_than_now(fetched in prop::collection::btree_map(1_u8..=31, 0_i64..4, 0..31), now in 0_i64..4) {
            let page = Page::default().with(fetched.iter().map(|(day, at)| (on(*day), cell((*at, None)))));

            let later = page.later_than(Timestamp::from_second(now).unwrap());

            let expected = fetched.iter().filter(|(_, at)| now < **at);
            prop_assert_eq!(later, expected.fold(0, |days, (day, _)| days | 1 << day));
        }
    }
}
