//! Maps minutes on the clock to slots of a cell's figures.

use std::ops::Range;

use crate::domain::bucket::VendorBucket;
use crate::domain::figures::View;
use crate::domain::zone::DayShape;

/// Maps a day's minutes to the slots of its figures.
pub(super) struct SlotGrid<'a> {
    bucket: VendorBucket,
    shape: &'a DayShape,
    /// Minutes whose buckets have a second occurrence.
    fold: Option<Range<u16>>,
}

impl<'a> SlotGrid<'a> {
    pub(super) fn new(bucket: VendorBucket, shape: &'a DayShape) -> Self {
        Self {
            bucket,
            shape,
            fold: shape.repeated(bucket),
        }
    }

    pub(super) fn slots(&self, minutes: &Range<u16>) -> Range<usize> {
        self.bucket.slots(minutes)
    }

    /// Slots of the second occurrences of `minutes`, which come after the day's own.
    pub(super) fn repeated_slots(
        &self,
        minutes: &Range<u16>,
        figures: View<'_>,
    ) -> Option<Range<usize>> {
        let fold = self.fold.as_ref()?;
        let own = usize::from(self.bucket.slots_per_day());
        if figures.slots() <= own {
            return None;
        }
        let (from, to) = (minutes.start.max(fold.start), minutes.end.min(fold.end));
        let slot = |minute: u16| own + usize::from((minute - fold.start) / self.bucket.minutes());
        (from < to).then(|| slot(from)..slot(to))
    }

    /// Slot of the first occurrence of a repeated slot.
    pub(super) fn clock_slot(&self, repeated: usize) -> usize {
        let start = self
            .fold
            .as_ref()
            .map_or(0, |fold| fold.start / self.bucket.minutes());
        repeated - usize::from(self.bucket.slots_per_day()) + usize::from(start)
    }

    /// Weight of the level at `slot` in a mean, in buckets. Where a bucket is repeated in part, each of its two levels weighs as much as it
    /// lasts. If only the second is present, it weighs nothing: it is merely the peak of two levels in an unknown order.
    pub(super) fn weight(&self, slot: usize, levels: View<'_>) -> f64 {
        let Some(fold) = self
            .fold
            .as_ref()
            .filter(|fold| self.shape.fold.as_ref() != Some(*fold))
        else {
            return 1.0;
        };
        let own = usize::from(self.bucket.slots_per_day());
        let repeated = self.bucket.slots(fold);
        let first = if slot < own {
            slot
        } else {
            self.clock_slot(slot)
        };
        if !repeated.contains(&first) {
            return 1.0;
        }
        let second = own + first - repeated.start;
        match (levels.get(first), levels.get(second)) {
            (_, None) => 1.0,
            (None, Some(_)) => 0.0,
            (Some(_), Some(_)) => {
                let minutes = self.bucket.minutes();
                let nth = u16::try_from(first).expect("a day has at most 288 slots");
                let [once, again] = self.shape.passes(&(nth * minutes..(nth + 1) * minutes));
                f64::from(if slot < own { once } else { again }) / f64::from(minutes)
            }
        }
    }
}
