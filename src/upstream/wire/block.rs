//! The figures of one entity on one day, while its parts are being combined.

use super::layout::{DWELL_COLUMNS, Layout};
use crate::domain::metric::VendorMetric;

/// Stands for "parts that differ" in the first column of dwell time, where no value of the vendor is infinite.
const SEVERAL: f64 = f64::INFINITY;

/// One day's figures, column by column, NaN where there is none; combining is associative, and the order changes nothing
/// but the rounding of sums of fractions.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Block(Box<[f64]>);

impl Block {
    /// A day without figures.
    pub(in crate::upstream) fn new(layout: &Layout) -> Self {
        Self(vec![f64::NAN; layout.block_len()].into())
    }

    /// Adds one part's figures (by [`VendorMetric`], NaN where absent) to those of `slot`.
    pub(super) fn add(
        &mut self,
        layout: &Layout,
        slot: usize,
        values: &[f64; VendorMetric::ALL.len()],
    ) {
        let weight = values[VendorMetric::Entrances as usize];
        for metric in layout.request().metrics.iter() {
            let value = values[metric as usize];
            let (Some(column), false) = (layout.column(metric), value.is_nan()) else {
                continue;
            };
            let at = column * layout.stride() + slot;
            if metric == VendorMetric::DwellTime {
                one_more(&mut self.0[at], value);
                if weight > 0.0 {
                    sum(&mut self.0[at + layout.stride()], value * weight);
                    sum(&mut self.0[at + 2 * layout.stride()], weight);
                }
            } else {
                sum(&mut self.0[at], value);
            }
        }
    }

    /// Adds those of one part's figures that there are none of yet. Only right where that part is the only one.
    pub(super) fn complete(
        &mut self,
        layout: &Layout,
        slot: usize,
        values: &[f64; VendorMetric::ALL.len()],
    ) {
        let mut all = *values;
        for metric in layout.request().metrics.iter() {
            if let Some(known) = self.figure(layout, metric, slot) {
                all[metric as usize] = known;
            }
        }
        // Anew, since dwell time and its weight may have come apart.
        for figure in self.0.iter_mut().skip(slot).step_by(layout.stride()) {
            *figure = f64::NAN;
        }
        self.add(layout, slot, &all);
    }

    /// Adds the parts in `other`.
    pub(in crate::upstream) fn merge(&mut self, layout: &Layout, other: &Self) {
        let dwell = layout
            .column(VendorMetric::DwellTime)
            .map(|column| column * layout.stride()..(column + 1) * layout.stride());
        for (at, (mine, other)) in self.0.iter_mut().zip(&other.0).enumerate() {
            if other.is_nan() {
                continue;
            }
            if dwell.as_ref().is_some_and(|dwell| dwell.contains(&at)) {
                one_more(mine, *other);
            } else {
                sum(mine, *other);
            }
        }
    }

    /// The figure of `metric` in `slot`.
    pub(in crate::upstream) fn figure(
        &self,
        layout: &Layout,
        metric: VendorMetric,
        slot: usize,
    ) -> Option<f64> {
        let at = layout.column(metric)? * layout.stride() + slot;
        let value = self.0[at];
        if metric != VendorMetric::DwellTime {
            return (!value.is_nan()).then_some(value);
        }
        const { assert!(DWELL_COLUMNS == 3) };
        let [sum, weight] = [1, 2].map(|column| self.0[at + column * layout.stride()]);
        let value = if value.is_infinite() {
            sum / weight
        } else if weight.is_nan() && self.figure(layout, VendorMetric::Entrances, slot) > Some(0.0)
        {
            // None of its parts has a weight, and it must not get that of others.
            f64::NAN
        } else {
            value
        };
        (!value.is_nan()).then_some(value)
    }
}

fn sum(sum: &mut f64, value: f64) {
    // Saturates, since an infinite figure would be taken for an absent one.
    *sum = if sum.is_nan() {
        value.min(f64::MAX)
    } else {
        (*sum + value).min(f64::MAX)
    };
}

/// Keeps the value that all parts share: it is their mean whatever their weights.
fn one_more(shared: &mut f64, value: f64) {
    *shared = if shared.is_nan() || shared.to_bits() == value.to_bits() {
        value
    } else {
        SEVERAL
    };
}
