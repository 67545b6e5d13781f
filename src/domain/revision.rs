//! The changes that the vendor made to the figures of a day that is over.

use std::ops::Range;

use super::bucket::VendorBucket;
use super::figures::Figures;
use super::local_day::DayShape;
use super::metric::VendorMetric;
use super::missing;

named! {
    /// The kind of a change.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RevisionKind {
        /// Only missing figures came.
        Late = "late",
        /// Figures have other values, or some came while others went.
        Changed = "changed",
        /// Figures are missing that were there, and nothing else is different.
        Withdrawn = "withdrawn",
    }
}

/// A difference between two versions of a day's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: RevisionKind,
    /// The number of buckets that differ.
    pub buckets: u16,
}

/// The difference between the `old` and the `new` figures of a day of that `shape`, which was over when the vendor was asked for either;
/// `None` if there is none.
///
/// Nobody knows whether the vendor sends zeros, and it may do so in one answer and not in the next. So a quiet bucket (an absent count in a
/// run of less than an hour, see `domain::missing`) is the same as a zero. Versions with other buckets are of another clock, and are not
/// compared.
#[must_use]
pub fn difference(
    metric: VendorMetric,
    bucket: VendorBucket,
    shape: &DayShape,
    old: &Figures,
    new: &Figures,
) -> Option<Difference> {
    if old == new || old.slots() != new.slots() {
        return None;
    }
    let [old, new] = [old, new].map(|figures| observed(metric, bucket, shape, figures));
    let (mut came, mut went, mut changed) = (0, 0, 0);
    for pair in old.iter().zip(&new) {
        match pair {
            (None, Some(_)) => came += 1,
            (Some(_), None) => went += 1,
            (Some(one), Some(other)) if !is_same(metric, *one, *other) => changed += 1,
            _ => {}
        }
    }
    let kind = match (came, went, changed) {
        (0, 0, 0) => return None,
        (_, 0, 0) => RevisionKind::Late,
        (0, _, 0) => RevisionKind::Withdrawn,
        _ => RevisionKind::Changed,
    };
    Some(Difference {
        kind,
        buckets: came + went + changed,
    })
}

/// Whether two figures are the same. A mean of several parts may differ in its last bits with the order of the vendor's rows.
fn is_same(metric: VendorMetric, one: f64, other: f64) -> bool {
    const LAST_BITS: f64 = 1e-9;
    let within = if metric.is_count() { 0.0 } else { LAST_BITS };
    (one - other).abs() <= within * one.max(other)
}

/// The figures, with a zero in each quiet bucket of a count.
fn observed(
    metric: VendorMetric,
    bucket: VendorBucket,
    shape: &DayShape,
    figures: &Figures,
) -> Vec<Option<f64>> {
    /// No day is longer.
    const WHOLE_DAY: usize = 2 * 24 * 60;
    let mut values: Vec<Option<f64>> = figures.iter().collect();
    if metric.is_count() {
        let mut missing: Vec<Range<usize>> = Vec::new();
        missing::find(figures.view(), bucket, shape, WHOLE_DAY, &mut missing);
        for (slot, value) in values.iter_mut().enumerate() {
            let is_missing = missing.iter().any(|gap| gap.contains(&slot));
            *value = value.or((!is_missing).then_some(0.0));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::rollup::day_figure;

    const ENTRANCES: VendorMetric = VendorMetric::Entrances;

    fn quarters() -> VendorBucket {
        VendorBucket::from_minutes(15).unwrap()
    }

    fn compared(
        metric: VendorMetric,
        old: &[Option<f64>],
        new: &[Option<f64>],
    ) -> Option<(&'static str, u16)> {
        let [old, new] = [old, new].map(Figures::pack);
        let ordinary = DayShape::default();
        let difference = difference(metric, quarters(), &ordinary, &old, &new)?;
        Some((difference.kind.name(), difference.buckets))
    }

    #[test]
    fn each_kind_has_its_name_and_counts_its_buckets() {
        let day = vec![Some(3.0); 96];
        let without = |slots: Range<usize>| {
            let mut day = day.clone();
            day[slots].fill(None);
            day
        };
        let mut other = day.clone();
        other[7] = Some(4.0);
        let mut both = without(40..44);
        both[7] = Some(4.0);

        assert_eq!(compared(ENTRANCES, &day, &day), None);
        assert_eq!(compared(ENTRANCES, &day, &other), Some(("changed", 1)));
        assert_eq!(
            compared(ENTRANCES, &without(40..44), &day),
            Some(("late", 4))
        );
        assert_eq!(
            compared(ENTRANCES, &day, &without(40..44)),
            Some(("withdrawn", 4))
        );
        assert_eq!(compared(ENTRANCES, &day, &both), Some(("changed", 5)));
        assert_eq!(
            compared(ENTRANCES, &without(0..4), &without(40..44)),
            Some(("changed", 8))
        );
    }

    #[test]
    fn a_quiet_bucket_of_a_count_is_a_zero_and_a_silent_one_is_not() {
        let mut zeros = vec![Some(3.0); 96];
        zeros[40..43].fill(Some(0.0));
        let mut quiet = zeros.clone();
        quiet[40..43].fill(None);
        let mut silent = quiet.clone();
        silent[43] = None;

        assert_eq!(compared(ENTRANCES, &zeros, &quiet), None);
        assert_eq!(
            compared(VendorMetric::Occupancy, &zeros, &quiet),
            Some(("withdrawn", 3))
        );
        assert_eq!(compared(ENTRANCES, &zeros, &silent), Some(("withdrawn", 4)));
    }

    #[test]
    fn versions_of_another_clock_are_not_compared() {
        let (ordinary, autumn) = (
            Figures::pack(&[Some(1.0); 96]),
            Figures::pack(&[Some(2.0); 100]),
        );

        let difference = difference(
            ENTRANCES,
            quarters(),
            &DayShape::default(),
            &ordinary,
            &autumn,
        );

        assert_eq!(difference, None);
    }

    #[test]
    fn a_days_figure_is_that_of_a_query_by_day() {
        let autumn = DayShape::of(
            date(2026, 11, 1),
            Some(&TimeZone::get("America/Chicago").unwrap()),
        );
        let mut figures = vec![None; 25];
        let mut weights = vec![None; 25];
        (figures[1], figures[24]) = (Some(10.0), Some(30.0));
        (weights[1], weights[24]) = (Some(3.0), Some(1.0));
        let [figures, weights] = [figures, weights].map(|values| Figures::pack(&values));
        let hour = VendorBucket::HOUR;
        let figure = |metric, weights| day_figure(metric, hour, &autumn, &figures, weights);

        assert_eq!(figure(ENTRANCES, None), Some(40.0));
        assert_eq!(figure(VendorMetric::Occupancy, None), Some(20.0));
        assert_eq!(figure(VendorMetric::DwellTime, Some(&weights)), Some(15.0));
        assert_eq!(figure(VendorMetric::DwellTime, None), None);
        let nothing = Figures::none(24);
        assert_eq!(day_figure(ENTRANCES, hour, &autumn, &nothing, None), None);
    }

    proptest! {
        #[test]
        fn a_change_and_its_reverse_mirror_each_other(
            days in prop::collection::vec((prop::option::of(0_u8..3), prop::option::of(0_u8..3)), 96),
        ) {
            let (old, new): (Vec<_>, Vec<_>) = days
                .iter()
                .map(|(old, new)| (old.map(f64::from), new.map(f64::from)))
                .unzip();

            let there = compared(VendorMetric::Occupancy, &old, &new);
            let back = compared(VendorMetric::Occupancy, &new, &old);

            let differing = days.iter().filter(|(old, new)| old != new).count();
            prop_assert_eq!(there.map_or(0, |(_, buckets)| usize::from(buckets)), differing);
            let mirrored = there.map(|(kind, buckets)| {
                let kind = match kind {
                    "late" => "withdrawn",
                    "withdrawn" => "late",
                    kind => kind,
                };
                (kind, buckets)
            });
            prop_assert_eq!(back, mirrored);
        }
    }
}
