//! Where minutes on the clock stand among a cell's figures.

use std::ops::Range;

use crate::domain::bucket::VendorBucket;
use crate::domain::figures::View;

/// Where a day's minutes stand among the slots of its figures.
pub(super) struct SlotGrid {
    pub(super) bucket: VendorBucket,
    /// The minutes whose buckets have a second occurrence.
    pub(super) fold: Option<Range<u16>>,
}

impl SlotGrid {
    pub(super) fn slots(&self, minutes: &Range<u16>) -> Range<usize> {
        self.bucket.slots(minutes)
    }

    /// The slots of the second occurrences of `minutes`, which stand behind the day's own.
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

    /// The slot of the first occurrence of a repeated slot.
    pub(super) fn clock_slot(&self, repeated: usize) -> usize {
        let start = self
            .fold
            .as_ref()
            .map_or(0, |fold| fold.start / self.bucket.minutes());
        repeated - usize::from(self.bucket.slots_per_day()) + usize::from(start)
    }
}
