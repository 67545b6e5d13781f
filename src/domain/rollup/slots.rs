//! Maps minutes on the clock to slots of a cell's figures.

use std::ops::Range;

use crate::domain::bucket::VendorBucket;
use crate::domain::figures::View;
use crate::domain::local_day::DayShape;

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

    /// Slots of the second occurrences of `minutes`, which come after the day's own, if the figures have any.
    pub(super) fn repeated_slots(
        &self,
        minutes: &Range<u16>,
        figures: View<'_>,
    ) -> Option<Range<usize>> {
        let own = usize::from(self.bucket.slots_per_day());
        if self.fold.is_none() || figures.slots() <= own {
            return None;
        }
        self.repeated(&self.slots(minutes))
    }

    /// Slots of the second occurrences of the day's own `slots`.
    pub(super) fn repeated(&self, slots: &Range<usize>) -> Option<Range<usize>> {
        let fold = self.bucket.slots(self.fold.as_ref()?);
        let (from, to) = (slots.start.max(fold.start), slots.end.min(fold.end));
        let own = usize::from(self.bucket.slots_per_day());
        (from < to).then(|| own + from - fold.start..own + to - fold.start)
    }

    /// Slot of the first occurrence of a repeated slot.
    pub(super) fn clock_slot(&self, repeated: usize) -> usize {
        let start = self
            .fold
            .as_ref()
            .map_or(0, |fold| fold.start / self.bucket.minutes());
        repeated - usize::from(self.bucket.slots_per_day()) + usize::from(start)
    }

    /// Weight of the level at `slot` in a mean, in buckets: the part of its bucket that the clock shows. Where a bucket is repeated in part, each of its two levels weighs as much as it
    /// lasts. If only the second is present, it weighs nothing: it is merely the peak of two levels in an unknown order.
    pub(super) fn weight(&self, slot: usize, levels: View<'_>) -> f64 {
        let Some(fold) = self
            .fold
            .as_ref()
            .filter(|fold| self.shape.fold.as_ref() != Some(*fold))
        else {
            return self.part_not_skipped(slot);
        };
        let own = usize::from(self.bucket.slots_per_day());
        let repeated = self.bucket.slots(fold);
        let first = if slot < own {
            slot
        } else {
            self.clock_slot(slot)
        };
        if !repeated.contains(&first) {
            return self.part_not_skipped(first);
        }
        let second = own + first - repeated.start;
        match (levels.get(first), levels.get(second)) {
            (_, None) => 1.0,
            (None, Some(_)) => 0.0,
            (Some(_), Some(_)) => {
                let [once, again] = self.shape.passes(&self.minutes(first));
                f64::from(if slot < own { once } else { again }) / f64::from(self.bucket.minutes())
            }
        }
    }

    /// How much of a slot's bucket the clock shows, where it is put forward on that day.
    fn part_not_skipped(&self, slot: usize) -> f64 {
        let own = slot < usize::from(self.bucket.slots_per_day());
        let Some(gap) = self.shape.gap.as_ref().filter(|_| own) else {
            return 1.0;
        };
        let minutes = self.minutes(slot);
        let (from, to) = (gap.start.max(minutes.start), gap.end.min(minutes.end));
        let shown = self.bucket.minutes() - to.saturating_sub(from);
        f64::from(shown) / f64::from(self.bucket.minutes())
    }

    /// The minutes of one of the day's own slots.
    fn minutes(&self, slot: usize) -> Range<u16> {
        let nth = u16::try_from(slot).expect("a day has at most 288 slots");
        let minutes = self.bucket.minutes();
        nth * minutes..(nth + 1) * minutes
    }
}
