//! Combination of several figures into one, by the rules of their metric.

use crate::domain::metric::VendorMetric;
use crate::upstream::wire::{NO_VALUES, Values};

pub(super) const ENTRANCES: usize = VendorMetric::Entrances as usize;
pub(super) const DWELL_TIME: usize = VendorMetric::DwellTime as usize;
pub(super) const OCCUPANCY: usize = VendorMetric::Occupancy as usize;

/// The figures of a part of a site in one bucket.
pub(super) struct Placed {
    pub(super) group: usize,
    /// Its hour of the two repeated ones: 0 or 1.
    pub(super) hour: usize,
    /// Whether it certainly belongs to that hour, rather than to the other.
    pub(super) in_order: bool,
    pub(super) values: Values,
}

/// Combines the figures of `parts`, all at one time.
pub(super) fn combined<'a>(parts: impl IntoIterator<Item = &'a Placed> + Clone) -> Values {
    let mut all = NO_VALUES;
    for part in parts.clone() {
        for (all, value) in all.iter_mut().zip(part.values) {
            *all = match (all.is_nan(), value.is_nan()) {
                (true, _) => value,
                (false, true) => *all,
                (false, false) => *all + value,
            };
        }
    }
    let parts = parts.into_iter().map(|part| &part.values);
    let parts = parts.map(|values| (values[DWELL_TIME], values[ENTRANCES]));
    all[DWELL_TIME] = dwell_time(parts, all[ENTRANCES]);
    all
}

/// Whether some of `parts` have entrances but no dwell time, and others have one: a rollup would give a mean of these the weight of all.
pub(super) fn lacks_dwell_time<'a>(parts: impl IntoIterator<Item = &'a Placed> + Clone) -> bool {
    let told = |part: &Placed| !part.values[DWELL_TIME].is_nan();
    parts.clone().into_iter().any(told)
        && parts
            .into_iter()
            .any(|part| !told(part) && part.values[ENTRANCES] > 0.0)
}

/// The mean of dwell times, weighted by the entrances of the same part; NaN if there is none.
pub(super) fn dwell_time(parts: impl Iterator<Item = (f64, f64)>, entrances: f64) -> f64 {
    let (mut shared, mut sum, mut weight) = (None, 0.0, 0.0);
    for (stayed, came) in parts.filter(|(stayed, _)| !stayed.is_nan()) {
        shared = match shared {
            Some(same) if differ(same, stayed) => Some(f64::NAN),
            _ => Some(stayed),
        };
        if came > 0.0 {
            sum += stayed * came;
            weight += came;
        }
    }
    match shared {
        None => f64::NAN,
        // None of these parts has a weight, and they must not get the weight of others.
        Some(_) if weight == 0.0 && entrances > 0.0 => f64::NAN,
        // It is their mean for any weights.
        Some(shared) if !shared.is_nan() => shared,
        Some(_) if weight == 0.0 => f64::NAN,
        Some(_) => sum / weight,
    }
}

pub(super) fn differ(one: f64, other: f64) -> bool {
    one.to_bits() != other.to_bits()
}

/// An order of rows that does not depend on their arrival: larger figures first, and absent ones last.
pub(super) fn by_value(one: &Values, other: &Values) -> std::cmp::Ordering {
    // None is negative, so their bits are in the order of the figures.
    let key = |values: &Values| values.map(|value| (!value.is_nan()).then(|| value.to_bits()));
    key(other).cmp(&key(one))
}
