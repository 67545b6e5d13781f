//! The figure of one whole day at one site, as a query by day shows it.

use super::slots::SlotGrid;
use crate::domain::bucket::{DAY_MINUTES, VendorBucket};
use crate::domain::figures::Figures;
use crate::domain::local_day::DayShape;
use crate::domain::metric::VendorMetric;

/// The day's figure of `metric`, from its `figures` in buckets of that length on a day of that `shape`; `None` if nothing was observed.
/// A dwell time needs the entrances of the same buckets as its `weights`.
#[must_use]
pub fn day_figure(
    metric: VendorMetric,
    bucket: VendorBucket,
    shape: &DayShape,
    figures: &Figures,
    weights: Option<&Figures>,
) -> Option<f64> {
    let view = figures.view();
    let slots = 0..view.slots();
    match metric {
        VendorMetric::Entrances | VendorMetric::Transactions | VendorMetric::WalkBys => {
            view.sum(slots)
        }
        VendorMetric::DwellTime => {
            let weights = weights?.view();
            let mut mean = Mean::default();
            view.for_each(slots, |slot, value| {
                mean.add(value, weights.get(slot).unwrap_or(0.0));
            });
            mean.result()
        }
        VendorMetric::Occupancy => {
            let grid = SlotGrid::new(bucket, shape);
            let own = grid.slots(&(0..DAY_MINUTES));
            let repeated = grid.repeated_slots(&(0..DAY_MINUTES), view);
            let mut mean = Mean::default();
            for slots in [Some(own), repeated].into_iter().flatten() {
                view.for_each(slots, |slot, level| {
                    mean.add(level, grid.weight(slot, view));
                });
            }
            mean.result()
        }
    }
}

/// A weighted mean under construction.
#[derive(Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        if weight > 0.0 {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    fn result(&self) -> Option<f64> {
        (self.weight > 0.0)
            .then(|| self.sum / self.weight)
            .filter(|mean| mean.is_finite())
    }
}
