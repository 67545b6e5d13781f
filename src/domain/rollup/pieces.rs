//! The pieces of each day that count at a site, and those in which a figure is expected.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::domain::bucket::VendorBucket;
use crate::domain::coverage::{Basis, Counted};
use crate::domain::local_days::LocalDays;
use crate::domain::query::Query;
use crate::domain::timeline::{Piece, Pieces, Timeline};

/// The pieces of the sites of a query, which its groups share.
pub(super) struct KnownPieces<'a> {
    pub(super) query: &'a Query,
    pub(super) timeline: &'a Timeline,
    /// The timeline's days at each site of the query.
    days: &'a [Arc<LocalDays>],
    without_hours: Rc<Own>,
    /// By the days of sites whose open times are known in part: those with the same days share them.
    with_times: HashMap<*const LocalDays, Rc<Own>>,
}

/// The sites of a series on their clocks, and their pieces.
pub(super) struct SeriesSites<'a> {
    pub(super) query: &'a Query,
    pub(super) timeline: &'a Timeline,
    /// The timeline's days at each site of the query.
    pub(super) days: &'a [Arc<LocalDays>],
    /// The series' sites, as places among those of the query: ascending, never empty.
    pub(super) places: &'a [usize],
    /// By number of a site in the series.
    pieces: Vec<Rc<Own>>,
}

/// The pieces of sites with the same days.
struct Own {
    basis: Basis,
    /// `None`: those of the hours on the clock.
    counted: Option<Pieces>,
    /// `None`: all that are counted.
    expected: Option<Pieces>,
    /// The slots of the expected pieces, for each vendor bucket that was asked for.
    slots: RefCell<Vec<(VendorBucket, Rc<ExpectedSlots>)>>,
}

/// The slots of one vendor bucket in which a figure is expected, as if each day was an ordinary one that is over.
pub(super) struct ExpectedSlots {
    /// By bucket of the timeline: their number, all of them observed.
    pub(super) whole: Vec<Counted>,
    /// By day: the least range of slots that holds them; empty if there are none.
    pub(super) of_days: Vec<Range<usize>>,
}

impl ExpectedSlots {
    fn new<'p>(
        timeline: &Timeline,
        bucket: VendorBucket,
        pieces: impl Fn(usize) -> &'p [Piece],
    ) -> Self {
        let mut whole = vec![Counted::default(); timeline.starts().len()];
        let mut of_days = Vec::with_capacity(timeline.days());
        for day in 0..timeline.days() {
            let mut of_day = 0..0;
            for piece in pieces(day) {
                let slots = bucket.whole_slots(&piece.minutes());
                if slots.is_empty() {
                    continue;
                }
                whole[piece.bucket].add(Counted::all(slots.len()));
                if of_day.is_empty() {
                    of_day.start = slots.start;
                }
                of_day.end = slots.end;
            }
            of_days.push(of_day);
        }
        Self { whole, of_days }
    }
}

impl<'a> KnownPieces<'a> {
    /// So many are known at a time, apart from those of one group: thousands of sites with hours of their own would need gigabytes.
    const MOST: usize = 100;

    /// None yet, where `days` holds the timeline's days at each site of the query.
    pub(super) fn new(
        query: &'a Query,
        timeline: &'a Timeline,
        days: &'a [Arc<LocalDays>],
    ) -> Self {
        Self {
            query,
            timeline,
            days,
            without_hours: Rc::new(Own::without_hours(query, timeline)),
            with_times: HashMap::new(),
        }
    }

    /// The pieces of a series' sites, which are at these `places` in the query.
    pub(super) fn of<'s>(&mut self, places: &'s [usize]) -> SeriesSites<'s>
    where
        'a: 's,
    {
        if self.with_times.len() >= Self::MOST {
            self.with_times.clear();
        }
        let pieces = places.iter().map(|site| {
            let days = &self.days[*site];
            if days.open_times().is_none() {
                return Rc::clone(&self.without_hours);
            }
            let own = self.with_times.entry(Arc::as_ptr(days));
            let own =
                own.or_insert_with(|| Rc::new(Own::with_times(self.query, self.timeline, days)));
            Rc::clone(own)
        });
        SeriesSites {
            query: self.query,
            timeline: self.timeline,
            days: self.days,
            places,
            pieces: pieces.collect(),
        }
    }
}

impl SeriesSites<'_> {
    /// The pieces of a day that count at the series' `nth` site, ascending.
    pub(super) fn counted(&self, nth: usize, day: usize) -> &[Piece] {
        match &self.pieces[nth].counted {
            Some(pieces) => pieces.of(day),
            None => self.timeline.pieces(day),
        }
    }

    /// The parts of these pieces in which a figure is expected.
    pub(super) fn expected(&self, nth: usize, day: usize) -> &[Piece] {
        match &self.pieces[nth].expected {
            Some(pieces) => pieces.of(day),
            None => self.counted(nth, day),
        }
    }

    /// The slots of `bucket` in the expected pieces of a site.
    pub(super) fn expected_slots(&self, nth: usize, bucket: VendorBucket) -> Rc<ExpectedSlots> {
        let mut known = self.pieces[nth].slots.borrow_mut();
        if let Some((_, slots)) = known.iter().find(|(of, _)| *of == bucket) {
            return Rc::clone(slots);
        }
        let slots = ExpectedSlots::new(self.timeline, bucket, |day| self.expected(nth, day));
        let slots = Rc::new(slots);
        known.push((bucket, Rc::clone(&slots)));
        slots
    }

    /// The basis from which the expected buckets of a site follow.
    pub(super) fn basis(&self, nth: usize) -> Basis {
        self.pieces[nth].basis
    }

    /// The weakest basis of any site.
    pub(super) fn weakest_basis(&self) -> Basis {
        let bases = self.pieces.iter().map(|own| own.basis);
        bases.min().expect("a series has a site")
    }
}

impl Own {
    /// The pieces of a site whose opening hours are unknown.
    fn without_hours(query: &Query, timeline: &Timeline) -> Self {
        // Nothing counts by opening hours that nobody knows.
        let nothing = || timeline.cut_all(|_| []);
        Self {
            basis: if query.hours.is_given() {
                Basis::Hours
            } else {
                Basis::Days
            },
            counted: query.hours.is_open().then(nothing),
            expected: None,
            slots: RefCell::default(),
        }
    }

    /// The pieces of a site whose opening hours are known, or at least the days on which it exists.
    fn with_times(query: &Query, timeline: &Timeline, days: &LocalDays) -> Self {
        let windows = days.open_times().expect("they are known");
        let open = query.hours.is_open();
        let counted = || {
            timeline.cut_all(|day| {
                let windows = if timeline.is_late(day) {
                    windows.before(day)
                } else {
                    windows.of(day)
                };
                windows.iter().cloned()
            })
        };
        let expected = || timeline.narrowed(|day| windows.on_calendar_day(day));
        if days.windows().is_none() {
            return Self {
                expected: (!open).then(expected),
                ..Self::without_hours(query, timeline)
            };
        }
        Self {
            basis: Basis::Open,
            counted: open.then(counted),
            expected: (!open).then(expected),
            slots: RefCell::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::dates::DateRange;
    use crate::domain::lifetime::Lifetime;
    use crate::domain::metric::Metric;
    use crate::domain::opening::{Exceptions, OpeningHours, Windows};
    use crate::domain::site::{CustomerId, SiteId};

    #[test]
    fn groups_share_pieces_and_only_so_many_are_known_at_a_time() {
        let dates = DateRange::new(date(2026, 11, 23), date(2026, 11, 29)).unwrap();
        let days = |nth: usize| {
            let hours = format!("Mo-Sa 0{}:00-1{}:30", nth % 8, nth % 10);
            let hours = OpeningHours::new(hours.parse().unwrap(), None, Exceptions::new());
            let windows = Windows::new(Some(&hours), Lifetime::UNKNOWN, dates.iter());
            Arc::new(LocalDays::new(dates, None).with_windows(windows))
        };
        let sites = 3 * KnownPieces::MOST;
        let mut days: Vec<_> = (0..sites).map(days).collect();
        days[1] = Arc::clone(&days[0]);
        days[2] = Arc::new(LocalDays::new(dates, None));
        let query = Query::new(
            CustomerId::new(1).unwrap(),
            (1..).take(sites).filter_map(SiteId::new).collect(),
            dates,
            vec![Metric::Entrances],
        );
        let timeline = Timeline::new(&query);
        let mut known = KnownPieces::new(&query, &timeline, &days);

        let [one, other] = [&[0], &[1]].map(|places| known.of(places));
        assert!(Rc::ptr_eq(&one.pieces[0], &other.pieces[0]));
        assert_eq!(known.of(&[2]).weakest_basis(), Basis::Days);
        let all: Vec<usize> = (0..sites).collect();
        let together = KnownPieces::new(&query, &timeline, &days).of(&all);
        for site in 0..sites {
            let alone = known.of(&all[site..=site]);
            assert!(known.with_times.len() <= KnownPieces::MOST);
            assert_eq!(alone.basis(0), together.basis(site));
            for day in 0..timeline.days() {
                assert_eq!(alone.expected(0, day), together.expected(site, day));
                assert_eq!(alone.counted(0, day), timeline.pieces(day));
            }
        }
    }
}
