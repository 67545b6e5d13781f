//! The permitted use of a cell, and the shape that it must have, by the policy and the zones of one query.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::expiry::Expiry;
use crate::clock::Clock;
use crate::domain::cell::{Age, Cell, CellKey};
use crate::domain::directory::SiteDirectory;
use crate::domain::freshness::{Policy, Standing};
use crate::domain::local_day::DaySpan;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::{Page, PageDays};
use crate::tier::Shapes;

/// Judges cells. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) policy: Policy,
    /// The time from which the query accepts figures that are not final.
    pub(super) since: Option<Timestamp>,
    pub(super) directory: Arc<SiteDirectory>,
    pub(super) clock: Clock,
}

/// The kept part of a claim's cells, and its permitted use.
#[derive(Debug, Default)]
pub(super) struct Below {
    /// All that serves for anything.
    pub(super) usable: Vec<PageDays>,
    /// The cells that are served at once.
    pub(super) found: Vec<PageDays>,
    /// Those of `found` that are past their TTL, and are refreshed in the background.
    pub(super) stale: Vec<CellKey>,
    /// The months with cells that serve only for comparison.
    pub(super) outdated: HashSet<SeriesMonth>,
}

/// By day of a month: the standing of the last cell that was judged, and its age.
type StandingByDay = [Option<(Age, Standing)>; 32];

impl Judge {
    /// The permitted use of `cell` now.
    pub(super) fn standing(&self, key: &CellKey, cell: &Cell) -> Standing {
        let expiry = self.expiry(key, cell);
        expiry.standing(&self.policy, self.since, self.clock.now())
    }

    /// The expiry of `cell`.
    pub(super) fn expiry(&self, key: &CellKey, cell: &Cell) -> Expiry {
        let day = DaySpan::of(key.date, self.directory.zone(key.customer, key.site));
        Expiry::of(&self.policy, cell.age(), key.date, day)
    }

    /// Whether the query wants a newer figure than `cell`.
    pub(super) fn is_too_old(&self, key: &CellKey, cell: &Cell) -> bool {
        let is_early = self.since.is_some_and(|since| cell.fetched_at() < since);
        is_early && !self.expiry(key, cell).is_final
    }

    /// Whether kept answers may show `cell` now, regardless of this query.
    pub(super) fn may_show(&self, key: &CellKey, cell: &Cell) -> bool {
        self.clock.now() < self.expiry(key, cell).expires_at
    }

    /// Whether `cell` is within its TTL.
    pub(super) fn is_fresh(&self, key: &CellKey, cell: &Cell) -> bool {
        self.standing(key, cell) == Standing::Fresh
    }

    /// The shape that the cells of each month must have.
    pub(super) fn shapes(&self, months: impl Iterator<Item = SeriesMonth>) -> Shapes {
        let mut zones = Zones::default();
        let mut known: HashMap<(usize, i16, i8), MonthShape> = HashMap::new();
        let shapes = months.map(|month| {
            let (number, zone) = zones.of(&self.directory, &month);
            let shape = known.entry((number, month.year, month.month));
            (month, *shape.or_insert_with(|| month.shape(zone)))
        });
        shapes.collect()
    }

    /// Judges the `kept` cells of the claimed days of `months`. Unless it `serves_stale`, those past their TTL are not served at once.
    pub(super) fn judge(
        &self,
        months: &[(SeriesMonth, u32)],
        kept: Vec<Page>,
        serves_stale: bool,
    ) -> Below {
        let now = self.clock.now();
        let mut below = Below::default();
        let mut zones = Zones::default();
        // Most sites have a date's cells from the same report.
        let mut known: HashMap<(usize, i16, i8), StandingByDay> = HashMap::new();
        for ((month, claimed), page) in months.iter().zip(kept) {
            if page.days() & claimed == 0 {
                continue;
            }
            let (number, zone) = zones.of(&self.directory, month);
            let known = known.entry((number, month.year, month.month)).or_default();
            let (mut found, mut usable) = (0, 0);
            for of_age in page.ages() {
                for (bit, date) in month.dates(of_age.days & claimed) {
                    let known = &mut known[usize::from(date.day().unsigned_abs())];
                    let standing = match known {
                        Some((age, standing)) if *age == of_age.age => *standing,
                        _ => {
                            let day = DaySpan::of(date, zone);
                            let expiry = Expiry::of(&self.policy, of_age.age, date, day);
                            let standing = expiry.standing(&self.policy, self.since, now);
                            known.insert((of_age.age, standing)).1
                        }
                    };
                    match standing {
                        Standing::Fresh => found |= bit,
                        Standing::Revalidate if serves_stale => {
                            found |= bit;
                            below.stale.push(month.cell(date));
                        }
                        Standing::Revalidate | Standing::IfError => usable |= bit,
                        Standing::Expired => {
                            below.outdated.insert(*month);
                        }
                    }
                }
            }
            let page = Arc::new(page);
            let some = |days| PageDays {
                month: *month,
                days,
                page: Arc::clone(&page),
            };
            below.found.extend((found != 0).then(|| some(found)));
            usable |= found;
            below.usable.extend((usable != 0).then(|| some(usable)));
        }
        below
    }
}

/// The zones of sites, numbered.
#[derive(Default)]
struct Zones<'a>(Vec<Option<&'a TimeZone>>);

impl<'a> Zones<'a> {
    fn of(
        &mut self,
        directory: &'a SiteDirectory,
        month: &SeriesMonth,
    ) -> (usize, Option<&'a TimeZone>) {
        let zone = directory.zone(month.customer, month.site);
        let number = self.0.iter().position(|known| *known == zone);
        let number = number.unwrap_or_else(|| {
            self.0.push(zone);
            self.0.len() - 1
        });
        (number, zone)
    }
}
