//! Which of a day's buckets are missing: the one place that tells silence from quiet.

use std::ops::Range;

use super::bucket::VendorBucket;
use super::figures::View;
use super::zone::DayShape;

/// Buckets without a figure are missing where they last so many minutes in a row. A shorter row of them is quiet: the vendor may send
/// no figure where nothing happened.
const SILENCE: usize = 60;

/// Puts the missing slots of a cell into `missing`, in the order in which they happen.
///
/// The cell is the unit: a silence is looked for within its day, and each day's part of a silent night is judged by its own length.
/// A bucket that DST skips neither is missing nor parts a silence in two, and the second occurrence of a repeated one follows the
/// first. Of the day, `passed` minutes were over when the vendor was asked: what is without a figure after that is not known yet,
/// which is neither quiet nor a part of a silence, and is among the missing.
pub(super) fn find(
    figures: View<'_>,
    bucket: VendorBucket,
    shape: &DayShape,
    passed: usize,
    missing: &mut Vec<Range<usize>>,
) {
    let minutes = usize::from(bucket.minutes());
    let mut left = passed / minutes;
    let mut silence = Silence::default();
    missing.clear();
    for stretch in stretches(bucket, shape) {
        let over = stretch.start..stretch.start + stretch.len().min(left);
        left -= over.len();
        figures.for_each_gap(over.clone(), |gap| {
            if gap.start > over.start || !silence.lasts {
                silence.end(minutes, missing);
            }
            silence.slots += gap.len();
            silence.lasts = gap.end == over.end;
            missing.push(gap);
        });
        if !over.is_empty() && figures.get(over.end - 1).is_some() {
            silence.lasts = false;
        }
        if over.end < stretch.end {
            silence.end(minutes, missing);
            figures.for_each_gap(over.end..stretch.end, |gap| missing.push(gap));
            silence.begin(missing);
        }
    }
    silence.end(minutes, missing);
}

/// The slots without a figure that follow one another.
#[derive(Default)]
struct Silence {
    /// Where its first slots stand among the missing.
    first: usize,
    slots: usize,
    /// Whether it may go on in the next stretch.
    lasts: bool,
}

impl Silence {
    /// Ends it, and begins another. It is among the missing by now, and taken back if it was a quiet one.
    fn end(&mut self, minutes: usize, missing: &mut Vec<Range<usize>>) {
        if self.slots * minutes < SILENCE {
            missing.truncate(self.first);
        }
        self.begin(missing);
    }

    fn begin(&mut self, missing: &[Range<usize>]) {
        *self = Self {
            first: missing.len(),
            ..Self::default()
        };
    }
}

/// The slots of a day, stretch by stretch in the order in which they happen; those of buckets that DST skips are in none.
fn stretches(bucket: VendorBucket, shape: &DayShape) -> [Range<usize>; 3] {
    let own = usize::from(bucket.slots_per_day());
    let slot = |minute: u16| usize::from(minute / bucket.minutes());
    if let Some(fold) = shape.repeated(bucket) {
        let again = own..own + slot(fold.end) - slot(fold.start);
        return [0..slot(fold.end), again, slot(fold.end)..own];
    }
    if let Some(gap) = &shape.gap {
        let skipped = usize::from(gap.start.div_ceil(bucket.minutes()));
        return [0..skipped, skipped.max(slot(gap.end))..own, own..own];
    }
    [0..own, own..own, own..own]
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::figures::Figures;

    const DAY: usize = 48 * 60;
    const NONE: [usize; 0] = [];

    fn found(present: &[bool], minutes: u16, shape: &DayShape, passed: usize) -> Vec<usize> {
        let values: Vec<_> = present.iter().map(|there| there.then_some(1.0)).collect();
        let (figures, mut missing) = (Figures::pack(&values), Vec::new());
        let bucket = VendorBucket::from_minutes(minutes).unwrap();
        find(figures.view(), bucket, shape, passed, &mut missing);
        missing.into_iter().flatten().collect()
    }

    /// A day of quarters that has no figure in `absent`.
    fn quarters(absent: impl IntoIterator<Item = usize>, slots: usize) -> Vec<bool> {
        let mut present = vec![true; slots];
        for slot in absent {
            present[slot] = false;
        }
        present
    }

    fn chicago(date: jiff::civil::Date) -> DayShape {
        DayShape::of(date, Some(&TimeZone::get("America/Chicago").unwrap()))
    }

    #[test]
    fn an_hour_without_figures_is_missing_and_less_is_quiet() {
        let ordinary = DayShape::default();

        assert_eq!(found(&quarters(40..43, 96), 15, &ordinary, DAY), NONE);
        assert_eq!(
            found(&quarters(40..44, 96), 15, &ordinary, DAY),
            [40, 41, 42, 43]
        );
        assert_eq!(found(&quarters(0..96, 96), 15, &ordinary, DAY).len(), 96);
        let mut hours = vec![true; 24];
        hours[7] = false;
        assert_eq!(found(&hours, 60, &ordinary, DAY), [7]);
    }

    #[test]
    fn a_silence_goes_on_where_dst_skips_an_hour_and_through_the_repeated_one() {
        let (spring, autumn) = (chicago(date(2026, 3, 8)), chicago(date(2026, 11, 1)));

        // 01:30 to 02:00 and 03:00 to 03:30 follow one another; 02:00 to 03:00 never was.
        let skipped = || 8..12;
        assert_eq!(
            found(
                &quarters((6..8).chain(skipped()).chain(12..14), 96),
                15,
                &spring,
                DAY
            ),
            [6, 7, 12, 13]
        );
        assert_eq!(
            found(
                &quarters((7..8).chain(skipped()).chain(12..14), 96),
                15,
                &spring,
                DAY
            ),
            NONE
        );
        // 01:45, 01:00 and 01:15 again; then 01:45 again and 02:00.
        assert_eq!(
            found(&quarters([7, 96, 97, 98], 100), 15, &autumn, DAY),
            [7, 96, 97, 98]
        );
        assert_eq!(
            found(&quarters([7, 8, 9, 96, 98], 100), 15, &autumn, DAY),
            NONE
        );
    }

    #[test]
    fn what_was_not_over_when_it_was_asked_for_is_no_part_of_a_silence() {
        let ordinary = DayShape::default();
        // Half past ten has begun; the sensor has told nothing since a quarter to ten.
        let present = quarters(39..96, 96);

        let known = found(&present, 15, &ordinary, 10 * 60 + 35);

        assert_eq!(known, (42..96).collect::<Vec<_>>());
        assert_eq!(
            found(&present, 15, &ordinary, 10 * 60 + 45).first(),
            Some(&39)
        );
    }

    proptest! {
        /// One minute after another, as a clock on the wall would go.
        #[test]
        fn it_agrees_with_looking_at_every_bucket(
            pattern in prop::collection::vec((any::<bool>(), 1_usize..30), 1..30),
            minutes in prop::sample::select(vec![5_u16, 10, 15, 30, 60]),
            day in prop::sample::select(vec![date(2026, 3, 8), date(2026, 11, 1), date(2026, 6, 1)]),
            passed in prop_oneof![Just(DAY), 0_usize..1600],
        ) {
            let shape = chicago(day);
            let bucket = VendorBucket::from_minutes(minutes).unwrap();
            let own = usize::from(bucket.slots_per_day());
            let slots = own + shape.repeated(bucket).map_or(0, |fold| fold.len() / usize::from(minutes));
            let present: Vec<bool> = pattern.iter().cycle().flat_map(|(there, times)| std::iter::repeat_n(*there, *times)).take(slots).collect();

            let mut order: Vec<usize> = Vec::new();
            for slot in 0..own {
                let minute = u16::try_from(slot).unwrap() * minutes;
                if shape.gap.as_ref().is_some_and(|gap| gap.contains(&minute)) {
                    continue;
                }
                order.push(slot);
                if shape.fold.as_ref().is_some_and(|fold| minute + minutes == fold.end) {
                    order.extend(own..slots);
                }
            }
            let over = (passed / usize::from(minutes)).min(order.len());
            let absent = |at: usize| !present[order[at]];
            let mut expected: Vec<usize> = (0..order.len())
                .filter(|at| absent(*at))
                .filter(|at| {
                    let before = (0..*at).rev().take_while(|at| absent(*at)).count();
                    let after = (*at + 1..over).take_while(|at| absent(*at)).count();
                    *at >= over || (before + 1 + after) * usize::from(minutes) >= 60
                })
                .map(|at| order[at])
                .collect();
            let mut real = found(&present, minutes, &shape, passed);

            expected.sort_unstable();
            real.sort_unstable();
            prop_assert_eq!(real, expected);
        }
    }
}
