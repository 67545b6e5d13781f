//! The rows that an answer has whatever its figures are.

use std::ops::Range;
use std::sync::Arc;

use super::pieces::{KnownPieces, SeriesSites};
use super::series_count;
use super::side::pick_days;
use crate::domain::bucket::{Bucket, DAY_MINUTES};
use crate::domain::comparison::Comparison;
use crate::domain::local_days::LocalDays;
use crate::domain::query::Query;
use crate::domain::timeline::{Piece, Timeline};

impl SeriesSites<'_> {
    /// Marks the buckets that an answer expects: those with requested hours, unless DST skips all of them at every site. A day exists even
    /// if its requested hours do not, unless DST skips all of it. Empty if every bucket is expected.
    pub(super) fn expected_buckets(&self) -> Vec<bool> {
        let days = || self.places.iter().map(|site| &self.days[*site]);
        if days().any(|days| days.all_ordinary()) && !self.query.hours.is_open() {
            return Vec::new();
        }
        let mut expected = vec![false; self.timeline.starts().len()];
        if !matches!(self.query.bucket.occurrence(), Bucket::Minutes(_)) {
            for date in 0..self.query.dates.len() {
                let expected = &mut expected[self.timeline.first_bucket(date)];
                let day = self.timeline.own_day(date);
                let exists = |days: &Arc<LocalDays>| !days.shape(day).skips(0, DAY_MINUTES);
                *expected = *expected || days().any(exists);
            }
            return expected;
        }
        self.for_each_piece(|site, day, piece| {
            let Range { start, end } = piece.minutes();
            let expected = &mut expected[piece.bucket];
            *expected = *expected || !self.days[site].shape(day).skips(start, end);
        });
        expected
    }

    /// Calls `visit` with the pieces of each site and day, and the indices of these.
    pub(super) fn for_each_piece(&self, mut visit: impl FnMut(usize, usize, &Piece)) {
        for (nth, site) in self.places.iter().copied().enumerate() {
            for day in 0..self.timeline.days() {
                for piece in self.counted(nth, day) {
                    visit(site, day, piece);
                }
            }
        }
    }
}

/// Number of rows in the answer to `query` before `fill=none` hides any; `days` holds the dates of its cells at each of its sites.
///
/// It is the most that there may be where figures decide: if series have different numbers of rows and the largest totals are shown, or if
/// a site may have been open on the other side of a comparison when it is closed now.
#[must_use]
pub fn expected_row_count(query: &Query, days: &[Arc<LocalDays>]) -> usize {
    let timeline = Timeline::new(query);
    let own = pick_days(query, query.dates.iter().map(Some), days);
    let other = query.compare.as_ref().filter(|_| query.hours.is_open());
    let other = other.map(|comparison: &Comparison| {
        let dates = (0..query.dates.len()).map(|index| comparison.counterpart(index));
        pick_days(query, dates, days)
    });
    let sides = [Some(&own), other.as_ref()].into_iter().flatten();
    let mut sides: Vec<KnownPieces<'_>> = sides
        .map(|days| KnownPieces::new(query, &timeline, days))
        .collect();
    let all = timeline.starts().len();
    let mut rows_of = |series: usize| {
        let places = &query.sites_of_series(series);
        let mut expected = vec![false; all];
        for known in &mut sides {
            let buckets = known.of(places).expected_buckets();
            if buckets.is_empty() {
                return all;
            }
            for (expected, own) in expected.iter_mut().zip(buckets) {
                *expected |= own;
            }
        }
        expected.into_iter().filter(|expected| *expected).count()
    };
    let mut rows: Vec<usize> = (0..series_count(query)).map(&mut rows_of).collect();
    if query.sort.is_some() {
        rows.sort_unstable_by(|one, other| other.cmp(one));
    }
    let shown = query.limit.unwrap_or(usize::MAX);
    rows.into_iter().take(shown).sum()
}
