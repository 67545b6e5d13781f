//! Doubts about a site's rows: reported, and never decided in silence.

use std::collections::BTreeMap;

use crate::domain::site::SiteId;
use crate::upstream::telemetry;
use crate::upstream::wire::ReportShape;

/// An ambiguity in a site's rows whose readings give different figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// The same row came with different figures.
    FiguresDiffer,
    /// Rows may be copies of each other, or belong to different parts.
    PartsOrCopies,
    /// A row that came more than once may be a copy, or belong to an hour that the clock showed twice.
    RepeatedHour,
    /// Rows have figures of an hour that the clock has skipped.
    SkippedHour,
    /// A part with entrances has no dwell time, and another part has one.
    PartialDwellTime,
}

impl Doubt {
    /// Its label in the metric.
    const fn counted(self) -> telemetry::Doubt {
        match self {
            Self::FiguresDiffer => telemetry::Doubt::FiguresDiffer,
            Self::PartsOrCopies => telemetry::Doubt::PartsOrCopies,
            Self::RepeatedHour => telemetry::Doubt::RepeatedHour,
            Self::SkippedHour => telemetry::Doubt::SkippedHour,
            Self::PartialDwellTime => telemetry::Doubt::PartialDwellTime,
        }
    }

    /// The ambiguity, and its resolution.
    const fn what(self) -> &'static str {
        match self {
            Self::FiguresDiffer => {
                "the same row came with different figures: Pitaya takes one whole row, the one with the most entrances, or else with the \
                 most of the next metric"
            }
            Self::PartsOrCopies => {
                "rows without a region, filter or entity, or with the same ones, may be parts of the site or copies: Pitaya decides as for \
                 most of its rows"
            }
            Self::RepeatedHour => {
                "rows may be copies, or belong to an hour that the clock showed twice, in an unknown order: equal rows count twice only if \
                 the site's timezone is known and repeats that hour, and Pitaya leaves out a mean with unknown weights"
            }
            Self::PartialDwellTime => {
                "a part of the site has entrances and no dwell time, and another part has a dwell time: Pitaya leaves the dwell time out, \
                 since that of the other visitors is unknown"
            }
            Self::SkippedHour => {
                "rows have figures of an hour that the clock skips in the site's timezone: Pitaya ignores them"
            }
        }
    }
}

/// The doubts about one site's rows: the first bucket of each kind, and the count.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<Doubt, (usize, u64)>);

impl Doubts {
    /// Records a doubt about the bucket at `place`.
    pub(super) fn note(&mut self, doubt: Doubt, place: usize) {
        let (first, count) = self.0.entry(doubt).or_insert((place, 0));
        *first = place.min(*first);
        *count += 1;
    }

    /// Reports the doubts in the log and in a metric.
    pub(super) fn tell(&self, shape: &ReportShape, site: SiteId) {
        for (doubt, (first, figures)) in &self.0 {
            let date = shape.date(first / shape.slots());
            tracing::warn!(%site, %date, figures, "{}", doubt.what());
            telemetry::doubt(doubt.counted());
        }
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<Doubt> {
        self.0.keys().copied().collect()
    }
}
