//! The pieces of each day that count at a site, and those in which a figure is expected.

use std::sync::Arc;

use crate::domain::coverage::Basis;
use crate::domain::query::Query;
use crate::domain::timeline::{Piece, Pieces, Timeline};
use crate::domain::zone::LocalDays;

/// The pieces of the sites of a group.
pub(super) struct SitePieces<'a> {
    timeline: &'a Timeline,
    /// By place of a site in the group: the index of its pieces.
    of_site: Vec<usize>,
    /// Those of sites whose opening hours are unknown come first.
    known: Vec<Own>,
}

/// The pieces of sites with the same days.
struct Own {
    basis: Basis,
    /// `None`: those of the hours on the clock.
    counted: Option<Pieces>,
    /// `None`: all that are counted.
    expected: Option<Pieces>,
}

impl<'a> SitePieces<'a> {
    /// The pieces of `sites`, the places of a group's sites in the query, where `days` holds the timeline's days at each site of the query.
    pub(super) fn new(
        query: &Query,
        timeline: &'a Timeline,
        days: &[Arc<LocalDays>],
        sites: &[usize],
    ) -> Self {
        let mut pieces = Self {
            timeline,
            of_site: Vec::with_capacity(sites.len()),
            known: vec![Own::without_hours(query, timeline)],
        };
        // Sites with the same zone and opening hours share their days.
        let mut seen: Vec<&Arc<LocalDays>> = Vec::new();
        for days in sites.iter().map(|site| &days[*site]) {
            let known = seen.iter().position(|known| Arc::ptr_eq(known, days));
            let index = match known {
                _ if days.windows().is_none() => 0,
                Some(index) => index + 1,
                None => {
                    seen.push(days);
                    pieces.known.push(Own::with_hours(query, timeline, days));
                    seen.len()
                }
            };
            pieces.of_site.push(index);
        }
        pieces
    }

    fn own(&self, nth: usize) -> &Own {
        &self.known[self.of_site[nth]]
    }

    /// The pieces of a day that count at the group's site at place `nth`, ascending.
    pub(super) fn counted(&self, nth: usize, day: usize) -> &[Piece] {
        match &self.own(nth).counted {
            Some(pieces) => pieces.of(day),
            None => self.timeline.pieces(day),
        }
    }

    /// The parts of these pieces in which a figure is expected.
    pub(super) fn expected(&self, nth: usize, day: usize) -> &[Piece] {
        match &self.own(nth).expected {
            Some(pieces) => pieces.of(day),
            None => self.counted(nth, day),
        }
    }

    /// What the expected buckets of a site follow from.
    pub(super) fn basis(&self, nth: usize) -> Basis {
        self.own(nth).basis
    }

    /// The weakest basis of any site.
    pub(super) fn weakest_basis(&self) -> Basis {
        let bases = self.of_site.iter().map(|own| self.known[*own].basis);
        bases.min().unwrap_or_default()
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
        }
    }

    /// The pieces of a site whose opening hours are known.
    fn with_hours(query: &Query, timeline: &Timeline, days: &LocalDays) -> Self {
        let windows = days.windows().expect("they are known");
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
        let expected = || timeline.narrowed(|day| windows.on_calendar_day(day).collect());
        Self {
            basis: Basis::Open,
            counted: open.then(counted),
            expected: (!open).then(expected),
        }
    }
}
