//! The counts of a day in one shape, and how they compare.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::domain::bucket::VendorBucket;
use crate::domain::cell::Cell;
use crate::domain::metric::VendorMetric;

/// Two answers that the vendor says it computed within this time count as simultaneous: its servers' clocks may differ a little.
const SIMULTANEOUS: SignedDuration = SignedDuration::from_secs(2);

/// The counts of a site's day in buckets of one length.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) bucket: VendorBucket,
    pub(super) cells: BTreeMap<VendorMetric, Cell>,
}

impl Counts {
    /// A metric in which they differ, if there is one.
    ///
    /// The vendor may omit zeros in one shape and not in another, so an absent count equals a zero.
    pub(super) fn differ(&self, other: &Self) -> Option<VendorMetric> {
        // Every bucket's length divides an hour.
        let minutes = if self.bucket == other.bucket {
            self.bucket.minutes()
        } else {
            VendorBucket::HOUR.minutes()
        };
        let sums = |counts: &Self, cell: &Cell| {
            let slots = usize::from(minutes / counts.bucket.minutes());
            let starts = (0..usize::from(counts.bucket.slots_per_day())).step_by(slots);
            let sums = starts.map(|slot| cell.figures().sum(slot..slot + slots).unwrap_or(0.0));
            sums.collect::<Vec<_>>()
        };
        let mut metrics = self.cells.iter().filter_map(|(metric, cell)| {
            let other_cell = other.cells.get(metric)?;
            let (own, others) = (sums(self, cell), sums(other, other_cell));
            let mut pairs = own.iter().zip(&others);
            let is_same = pairs.all(|(one, other)| (one - other).abs() < 0.5);
            (!is_same).then_some(*metric)
        });
        metrics.next()
    }

    /// The count of the whole day.
    pub(super) fn of_day(&self, metric: VendorMetric) -> Option<f64> {
        let figures = self.cells.get(&metric)?.figures();
        figures.sum(0..figures.slots())
    }

    /// Whether, by the vendor's own times, this was computed between `before` and `after`.
    pub(super) fn is_between(&self, before: &Self, after: &Self) -> bool {
        self.cells.iter().all(|(metric, cell)| {
            let of = |counts: &Self| counts.cells.get(metric).map(Cell::as_of);
            let (Some(before), Some(after)) = (of(before), of(after)) else {
                return false;
            };
            before <= cell.as_of() + SIMULTANEOUS && cell.as_of() <= after + SIMULTANEOUS
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::figures::Figures;

    const ENTRANCES: VendorMetric = VendorMetric::Entrances;

    fn counts(minutes: u16, values: &[Option<f64>], second: i64) -> Counts {
        let computed_at = Timestamp::from_second(second).unwrap();
        let cell = Cell::new(Figures::pack(values), computed_at, Some(computed_at));
        Counts {
            bucket: VendorBucket::from_minutes(minutes).unwrap(),
            cells: [(ENTRANCES, cell)].into(),
        }
    }

    proptest! {
        #[test]
        fn hours_are_those_of_their_quarters_whether_zeros_are_sent_or_not(
            quarters in prop::collection::vec(prop::option::of(0_u8..5), 96),
            wrong in prop::option::of(0_usize..24),
        ) {
            let values: Vec<_> = quarters.iter().map(|count| count.map(f64::from)).collect();
            let hours: Vec<_> = values
                .chunks(4)
                .enumerate()
                .map(|(hour, quarters)| {
                    let sum = quarters.iter().flatten().sum::<f64>();
                    let sum = if wrong == Some(hour) { sum + 1.0 } else { sum };
                    (sum > 0.0 || hour % 2 == 0).then_some(sum)
                })
                .collect();
            let (quarters, hours) = (counts(15, &values, 0), counts(60, &hours, 0));

            let differ = wrong.map(|_| ENTRANCES);
            prop_assert_eq!(quarters.differ(&hours), differ);
            prop_assert_eq!(hours.differ(&quarters), differ);
            prop_assert_eq!(quarters.differ(&counts(15, &values, 9)), None);
        }
    }

    #[test]
    fn answers_prove_nothing_unless_they_were_computed_in_their_order() {
        let at = |second| counts(60, &[Some(1.0); 24], second);
        let is_between = |before, second, after| at(second).is_between(&at(before), &at(after));

        assert!(is_between(100, 101, 102));
        assert!(is_between(100, 100, 100));
        assert!(!is_between(100, 200, 100));
        assert!(!is_between(200, 100, 201));
    }
}
