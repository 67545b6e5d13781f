//! What a site's rows leave in doubt: told, and never decided in silence.

use std::collections::BTreeMap;

use crate::domain::site::SiteId;
use crate::upstream::telemetry;
use crate::upstream::wire::ReportShape;

/// Something in a site's rows that can be read in two ways, which give different figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// The same row came with different figures.
    FiguresDiffer,
    /// Rows may be copies of each other, or of different parts.
    PartsOrCopies,
    /// A row that came more than once may be a copy, or of an hour that the clock showed twice.
    RepeatedHour,
    /// Rows have figures of an hour that the clock has skipped.
    SkippedHour,
    /// A part that was entered has no dwell time, and another part has one.
    PartialDwellTime,
}

impl Doubt {
    /// As what it is counted.
    const fn counted(self) -> telemetry::Doubt {
        match self {
            Self::FiguresDiffer => telemetry::Doubt::FiguresDiffer,
            Self::PartsOrCopies => telemetry::Doubt::PartsOrCopies,
            Self::RepeatedHour => telemetry::Doubt::RepeatedHour,
            Self::SkippedHour => telemetry::Doubt::SkippedHour,
            Self::PartialDwellTime => telemetry::Doubt::PartialDwellTime,
        }
    }

    /// What was ambiguous, and what was made of it.
    const fn what(self) -> &'static str {
        match self {
            Self::FiguresDiffer => {
                "the same row came with different figures: one row is taken whole, that with the most entrances, or else with the most of \
                 the next metric"
            }
            Self::PartsOrCopies => {
                "rows that name no region, filter or entity, or the same, may be parts of the site or copies: what most of its rows \
                 say is taken"
            }
            Self::RepeatedHour => {
                "rows may be copies, or of an hour that the clock showed twice in an order that can't be told: like rows count twice only \
                 where the site's timezone is known and says so, and a mean whose weights can't be told is left out"
            }
            Self::PartialDwellTime => {
                "a part of the site has entrances and no dwell time, and another part has a dwell time: it is left out, since nothing \
                 says how long the others stayed"
            }
            Self::SkippedHour => {
                "rows have figures of an hour that the clock has skipped where the site is said to be: they are ignored"
            }
        }
    }
}

/// The doubts that one site's rows leave: of each kind the first bucket, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<Doubt, (usize, u64)>);

impl Doubts {
    /// Notes a doubt of the bucket at `place`.
    pub(super) fn note(&mut self, doubt: Doubt, place: usize) {
        let (first, count) = self.0.entry(doubt).or_insert((place, 0));
        *first = place.min(*first);
        *count += 1;
    }

    /// Tells operators, in the log and in a metric.
    pub(super) fn tell(&self, layout: &ReportShape, site: SiteId) {
        for (doubt, (first, figures)) in &self.0 {
            let date = layout.date(first / layout.slots());
            tracing::warn!(%site, %date, figures, "{}", doubt.what());
            telemetry::doubt(doubt.counted());
        }
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<Doubt> {
        self.0.keys().copied().collect()
    }
}
