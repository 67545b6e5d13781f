//! Finds the missing buckets of a day. Only this module tells silence from quiet.

use std::ops::Range;

use super::bucket::{DAY_MINUTES, VendorBucket};
use super::figures::View;
use super::local_day::DayShape;

/// Buckets without a figure are missing if they last at least this many minutes in a row. A shorter run is quiet: the vendor may send no
/// figure when nothing happened.
const SILENCE: usize = 60;

/// Pushes the missing slots of a cell onto `missing`, in the order in which they happen.
///
/// The cell is the unit: this looks for a silence within the cell's day, and judges each day's part of a silent night by its own length.
/// The rest of the query decides whether the neighbouring day is available, and must not decide a figure: otherwise the same day would have
/// one rate in a query for the day and another in a query for the week.
///
/// A bucket that DST skips is not missing and does not split a silence, and the second occurrence of a repeated bucket follows the first. A
/// bucket that is skipped or repeated in part lasts as long as its existing minutes. When the vendor was asked, `passed` minutes of the day
/// were over: later buckets without a figure are not known yet. They are neither quiet nor part of a silence, and count as missing.
pub(super) fn find(
    figures: View<'_>,
    bucket: VendorBucket,
    shape: &DayShape,
    passed: usize,
    missing: &mut Vec<Range<usize>>,
) {
    missing.clear();
    if shape.is_ordinary() && passed >= usize::from(DAY_MINUTES) {
        for_each_of_ordinary_day(figures, bucket, |gap| missing.push(gap));
        return;
    }
    let mut silence = Silence::default();
    for (Stretch { slots, minutes }, over) in stretches_over(bucket, shape, passed) {
        figures.for_each_gap(over.clone(), 1, |gap| {
            if gap.start > over.start || !silence.lasts {
                silence.end(missing);
            }
            silence.minutes += gap.len() * minutes;
            silence.lasts = gap.end == over.end;
            missing.push(gap);
        });
        if !over.is_empty() && figures.get(over.end - 1).is_some() {
            silence.lasts = false;
        }
        if over.end < slots.end {
            silence.end(missing);
            figures.for_each_gap(over.end..slots.end, 1, |gap| missing.push(gap));
            silence.begin(missing);
        }
    }
    silence.end(missing);
}

/// Calls `visit` with the missing slots of an ordinary day that was over when the vendor was asked, as [`find`] finds them.
#[inline]
pub(super) fn for_each_of_ordinary_day(
    figures: View<'_>,
    bucket: VendorBucket,
    visit: impl FnMut(Range<usize>),
) {
    let (slots, minutes) = (
        usize::from(bucket.slots_per_day()),
        usize::from(bucket.minutes()),
    );
    figures.for_each_gap(0..slots, SILENCE.div_ceil(minutes), visit);
}

/// Pushes the slots of a day that exist and were over after `passed` of its minutes onto `over`, in the order in which they happen.
pub(super) fn over(
    bucket: VendorBucket,
    shape: &DayShape,
    passed: usize,
    over: &mut Vec<Range<usize>>,
) {
    over.clear();
    let stretches = stretches_over(bucket, shape, passed).map(|(_, over)| over);
    over.extend(stretches.filter(|over| !over.is_empty()));
}

/// A run of consecutive slots without a figure.
#[derive(Default)]
struct Silence {
    /// Index in `missing` of its first slots.
    first: usize,
    minutes: usize,
    /// Whether the silence may continue in the next stretch.
    lasts: bool,
}

impl Silence {
    /// Ends the silence and begins another. Its slots are already in `missing`; a quiet run is removed again.
    fn end(&mut self, missing: &mut Vec<Range<usize>>) {
        if self.minutes < SILENCE {
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

/// Consecutive slots, and the length of each.
#[derive(Clone, Default)]
struct Stretch {
    slots: Range<usize>,
    minutes: usize,
}

/// The stretches of a day that have any slots, in the order in which they happen, each with those slots that were over after `passed`
/// minutes of the day.
fn stretches_over(
    bucket: VendorBucket,
    shape: &DayShape,
    passed: usize,
) -> impl Iterator<Item = (Stretch, Range<usize>)> {
    let mut left = passed;
    let stretches = stretches(bucket, shape).into_iter();
    let stretches = stretches.filter(|stretch| !stretch.slots.is_empty());
    stretches.map(move |stretch| {
        let Stretch { slots, minutes } = &stretch;
        let over = slots.start..slots.start + slots.len().min(left / minutes);
        left = if over.end < slots.end {
            0
        } else {
            left - over.len() * minutes
        };
        (stretch, over)
    })
}

/// Splits the slots of a day into stretches, in the order in which they happen; buckets that DST skips belong to none.
fn stretches(bucket: VendorBucket, shape: &DayShape) -> [Stretch; 5] {
    let own = usize::from(bucket.slots_per_day());
    let whole = usize::from(bucket.minutes());
    let of = |slots, minutes| Stretch { slots, minutes };
    let full = |slots| of(slots, whole);
    let slots = |minutes: &Range<u16>| {
        let (start, end) = (usize::from(minutes.start), usize::from(minutes.end));
        // The last whole bucket before, and the first one after.
        (
            start / whole,
            start.div_ceil(whole),
            end / whole,
            end.div_ceil(whole),
        )
    };
    let none = Stretch::default;
    if let (Some(fold), Some(repeated)) = (&shape.fold, shape.repeated(bucket)) {
        let (first, _, before, after) = slots(fold);
        let [once, _] = shape.passes(&(repeated.end - bucket.minutes()..repeated.end));
        let [_, again] = shape.passes(&(repeated.start..repeated.start + bucket.minutes()));
        return [
            full(0..before),
            of(before..after, once.into()),
            of(own..own + 1, again.into()),
            full(own + 1..own + after - first),
            full(after..own),
        ];
    }
    if let Some(gap) = &shape.gap {
        let (before, skipped, there, after) = slots(gap);
        let (start, end) = (usize::from(gap.start), usize::from(gap.end));
        if there < skipped {
            let around = of(before..skipped, whole - gap.len());
            return [full(0..before), around, full(skipped..own), none(), none()];
        }
        return [
            full(0..before),
            of(before..skipped, start % whole),
            of(there..after, whole - end % whole),
            full(after..own),
            none(),
        ];
    }
    [full(0..own), none(), none(), none(), none()]
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

    /// A day of quarter hours without figures in `absent`.
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

        // 01:30 to 02:00 and 03:00 to 03:30 follow one another; 02:00 to 03:00 does not exist.
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
    fn buckets_not_over_at_the_fetch_are_not_part_of_a_silence() {
        let ordinary = DayShape::default();
        // 10:30 has begun; the sensor has reported nothing since 09:45.
        let present = quarters(39..96, 96);

        let known = found(&present, 15, &ordinary, 10 * 60 + 35);

        assert_eq!(known, (42..96).collect::<Vec<_>>());
        assert_eq!(
            found(&present, 15, &ordinary, 10 * 60 + 45).first(),
            Some(&39)
        );
    }

    #[test]
    fn a_bucket_that_is_skipped_or_repeated_in_part_lasts_as_long_as_its_minutes() {
        let lord_howe =
            |date| DayShape::of(date, Some(&TimeZone::get("Australia/Lord_Howe").unwrap()));
        let hours = |absent: usize, slots: usize| {
            let mut present = vec![true; slots];
            present[absent] = false;
            present
        };

        // Half of the third hour is skipped, and half of the second is repeated.
        let (spring, autumn) = (lord_howe(date(2026, 10, 4)), lord_howe(date(2026, 4, 5)));

        assert_eq!(found(&hours(2, 24), 60, &spring, DAY), NONE);
        assert_eq!(found(&hours(3, 24), 60, &spring, DAY), [3]);
        assert_eq!(found(&hours(24, 25), 60, &autumn, DAY), NONE);
        assert_eq!(found(&hours(1, 25), 60, &autumn, DAY), [1]);
    }

    proptest! {
        /// A reference that walks minute by minute, like a clock on the wall.
        #[test]
        fn it_agrees_with_looking_at_every_bucket(
            pattern in prop::collection::vec((any::<bool>(), 1_usize..30), 1..30),
            minutes in prop::sample::select(vec![5_u16, 10, 15, 30, 60]),
            (zone, day) in prop::sample::select(vec![
                ("America/Chicago", date(2026, 3, 8)),
                ("America/Chicago", date(2026, 11, 1)),
                ("America/Chicago", date(2026, 6, 1)),
                ("America/Santiago", date(2025, 4, 5)),
                ("Asia/Beirut", date(2026, 3, 29)),
                ("Australia/Lord_Howe", date(2026, 4, 5)),
                ("Australia/Lord_Howe", date(2026, 10, 4)),
                ("America/St_Johns", date(2010, 3, 14)),
                ("America/St_Johns", date(2010, 11, 6)),
                ("America/St_Johns", date(2010, 11, 7)),
            ]),
            passed in prop_oneof![Just(DAY), 0_usize..1600],
        ) {
            let shape = DayShape::of(day, Some(&TimeZone::get(zone).unwrap()));
            let bucket = VendorBucket::from_minutes(minutes).unwrap();
            let own = usize::from(bucket.slots_per_day());
            let fold = shape.fold.clone().unwrap_or(0..0);
            let first = fold.start / minutes;
            let again = |minute: u16| own + usize::from(minute / minutes - first);
            let slots = own + usize::from(fold.end.div_ceil(minutes) - first);
            let present: Vec<bool> = pattern.iter().cycle().flat_map(|(there, times)| std::iter::repeat_n(*there, *times)).take(slots).collect();

            let mut slot_of_minute: Vec<usize> = Vec::new();
            for minute in 0..1440 {
                if shape.gap.as_ref().is_some_and(|gap| gap.contains(&minute)) {
                    continue;
                }
                // After the clock has gone back, the rest of its bucket also belongs to the second occurrence.
                let of_second = minute >= fold.end && minute < fold.end.next_multiple_of(minutes);
                slot_of_minute.push(if of_second { again(minute) } else { usize::from(minute / minutes) });
                if minute + 1 == fold.end {
                    slot_of_minute.extend(fold.clone().map(again));
                }
            }
            let order: Vec<(usize, usize)> = slot_of_minute.chunk_by(|one, other| one == other).map(|slots| (slots[0], slots.len())).collect();
            let ends = order.iter().scan(0, |sum, (_, minutes)| { *sum += minutes; Some(*sum) });
            let over = ends.take_while(|end| *end <= passed).count();
            let absent = |at: &usize| !present[order[*at].0];
            let mut expected: Vec<usize> = (0..order.len())
                .filter(absent)
                .filter(|at| {
                    let before = (0..*at).rev().take_while(absent);
                    let after = (*at..over).take_while(absent);
                    *at >= over || before.chain(after).map(|at| order[at].1).sum::<usize>() >= 60
                })
                .map(|at| order[at].0)
                .collect();
            let mut real = found(&present, minutes, &shape, passed);

            expected.sort_unstable();
            real.sort_unstable();
            prop_assert_eq!(real, expected);
        }
    }
}
