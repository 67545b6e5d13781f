//! Compares the cells of a fetch with the last known ones.

use jiff::Timestamp;
use jiff::civil::Date;

use super::event::{Revision, Subject};
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::directory::SiteDirectory;
use crate::domain::figures::Figures;
use crate::domain::local_day::{DayShape, DaySpan};
use crate::domain::metric::VendorMetric;
use crate::domain::month::SeriesMonth;
use crate::domain::revision::difference;
use crate::domain::rollup::day_figure;

/// A difference that was found.
#[derive(Clone, Debug)]
pub(in crate::service) struct Compared {
    /// Its event, without the process.
    pub(super) revision: Revision,
    /// Time at which the old figures were requested.
    old_fetched_at: Timestamp,
}

impl Compared {
    #[cfg(test)]
    pub(super) const fn of(revision: Revision, old_fetched_at: Timestamp) -> Self {
        Self {
            revision,
            old_fetched_at,
        }
    }

    /// Whether the last event about the same day and metric already reports this difference.
    ///
    /// It does if it leads to the same figures: then their cell was not written before the process died, and was compared again. It also
    /// does if it comes from buckets of another length and is later than the old figures, since all of a day's buckets are made of the same
    /// events. In that case a count shows whether the vendor has changed it again since; a mean does not, because a mean over hours need
    /// not equal one over quarters.
    pub(super) fn is_known_by(&self, last: &Revision) -> bool {
        let own = &self.revision;
        let of_same_change =
            last.bucket != own.bucket && (!own.subject.metric.is_count() || last.new == own.new);
        // Figures fetched after the event have changed again since.
        self.old_fetched_at < last.seen_at && (last.state == own.state || of_same_change)
    }
}

/// The cells that a fetch brought, and the cells known before.
pub(in crate::service) struct Landing<'a, L> {
    pub(in crate::service) directory: &'a SiteDirectory,
    /// The cells whose claim is held, in order of their months and dates.
    pub(in crate::service) cells: &'a [(CellKey, Cell)],
    /// Looks up the last known cells of a month.
    pub(in crate::service) last_known: L,
}

impl<L, M> Landing<'_, L>
where
    L: Fn(&SeriesMonth) -> M,
    M: Fn(Date) -> Option<Cell>,
{
    /// The differences in days that were over when both versions were requested: before that, figures are expected to grow.
    pub(in crate::service) fn compare(&self) -> Vec<Compared> {
        let mut found = Vec::new();
        let month_of = |cell: &(CellKey, _)| SeriesMonth::of(&cell.0);
        for cells in self
            .cells
            .chunk_by(|one, next| month_of(one) == month_of(next))
        {
            let last_known = (self.last_known)(&month_of(&cells[0]));
            for (key, cell) in cells {
                // Most cells are new, or the same as before.
                if let Some(old) = last_known(key.date)
                    && old.figures() != cell.figures()
                {
                    found.extend(self.compared(key, &old, cell));
                }
            }
        }
        found
    }

    fn compared(&self, key: &CellKey, old: &Cell, new: &Cell) -> Option<Compared> {
        let zone = self.directory.zone(key.customer, key.site);
        let (seen_at, old_fetched_at) = (new.fetched_at(), old.fetched_at());
        let ends = DaySpan::of(key.date, zone).ends;
        // A fetch from the future was made under a wrong clock: nobody knows whether the day was over.
        if old_fetched_at < ends || seen_at < old_fetched_at {
            return None;
        }
        let shape = DayShape::of(key.date, zone);
        let (metric, bucket) = (key.metric, key.bucket);
        let difference = difference(metric, bucket, &shape, old.figures(), new.figures())?;
        let entrances = CellKey {
            metric: VendorMetric::Entrances,
            ..*key
        };
        let [old_weights, new_weights] = match metric {
            VendorMetric::DwellTime => self.weights(&entrances),
            _ => [None, None],
        };
        let figure = |cell: &Cell, weights: Option<Cell>| {
            let weights = weights.as_ref().map(Cell::figures);
            day_figure(metric, bucket, &shape, cell.figures(), weights)
        };
        Some(Compared {
            revision: Revision {
                subject: Subject {
                    customer: key.customer,
                    site: key.site,
                    metric,
                    date: key.date,
                },
                seen_at,
                kind: difference.kind,
                old: figure(old, old_weights),
                new: figure(new, new_weights),
                buckets: difference.buckets,
                age: seen_at.duration_since(ends),
                bucket,
                state: state(bucket, new.figures()),
                process: 0,
            },
            old_fetched_at,
        })
    }

    /// The weights of a dwell time, before and after: usually the same report brings them.
    fn weights(&self, entrances: &CellKey) -> [Option<Cell>; 2] {
        let old = (self.last_known)(&SeriesMonth::of(entrances))(entrances.date);
        let place = |key: &CellKey| (SeriesMonth::of(key), key.date);
        let place_of = place(entrances);
        let new = self
            .cells
            .binary_search_by_key(&place_of, |(key, _)| place(key));
        let new = new.ok().map(|at| self.cells[at].1.clone());
        let new = new.or_else(|| old.clone());
        [old, new]
    }
}

/// Distinguishes the figures of a day in buckets of that length from others.
fn state(bucket: VendorBucket, figures: &Figures) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bucket.minutes().to_le_bytes());
    hasher.update(figures.encoded());
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().expect("it has 32 bytes");
    u64::from_le_bytes(*first)
}
