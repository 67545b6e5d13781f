//! The figures of a repeated bucket, from those of its parts.

use super::combine::{
    DWELL_TIME, ENTRANCES, OCCUPANCY, Placed, combined, differ, dwell_time, lacks_dwell_time,
};
use crate::upstream::wire::Values;

/// Returns the figures of both occurrences, and whether they are certain, independent of an unknown order of rows. `whole`: both
/// occurrences last equally long.
pub(super) fn of(parts: &[Placed], whole: bool) -> ([Values; 2], bool) {
    let mut hours = [0, 1].map(|hour| combined(parts.iter().filter(|part| part.hour == hour)));
    let lacking = [0, 1]
        .iter()
        .any(|hour| lacks_dwell_time(parts.iter().filter(|part| part.hour == *hour)));
    if lacking {
        for hour in &mut hours {
            hour[DWELL_TIME] = f64::NAN;
        }
    }
    let weighed = share_dwell_time(&mut hours) && !lacking;
    let told = add_levels(&mut hours, parts, whole);
    (hours, weighed && told)
}

/// Gives both the mean of their dwell times, since the entrances that weight them may be of another report, in another order. Returns
/// whether the mean is certain.
fn share_dwell_time(hours: &mut [Values; 2]) -> bool {
    if hours.iter().any(|hour| hour[DWELL_TIME].is_nan()) {
        return true;
    }
    let pairs = hours.map(|hour| (hour[DWELL_TIME], hour[ENTRANCES]));
    let shared = dwell_time(pairs.into_iter(), 0.0);
    for hour in hours.iter_mut() {
        hour[DWELL_TIME] = shared;
    }
    !shared.is_nan() || hours.iter().any(|hour| !hour[ENTRANCES].is_nan())
}

/// The levels of one part at the two times; NaN if absent.
struct Levels {
    at: [f64; 2],
    in_order: bool,
}

impl Levels {
    /// The levels of `parts`, all of one group.
    fn of(parts: &[Placed]) -> Self {
        let at = [0, 1].map(|hour| {
            let parts = parts.iter().filter(|part| part.hour == hour);
            sum(parts.map(|part| part.values[OCCUPANCY]))
        });
        Self {
            at,
            in_order: parts.iter().all(|part| part.in_order),
        }
    }

    /// Whether the assignment of levels to times makes a difference.
    fn vary(&self) -> bool {
        differ(self.at[0], self.at[1]) && !self.at.iter().any(|level| level.is_nan())
    }

    /// Whether the only level may belong to either time, or to both.
    fn is_single(&self) -> bool {
        matches!(
            self.at.map(|level| level > 0.0),
            [true, false] | [false, true]
        ) && self.at.iter().any(|level| level.is_nan())
    }
}

/// Sums the levels of all parts at each time; returns whether it is certain which levels belong together.
fn add_levels(hours: &mut [Values; 2], parts: &[Placed], whole: bool) -> bool {
    let mut parts: Vec<_> = parts
        .chunk_by(|one, other| one.group == other.group)
        .map(Levels::of)
        .filter(|part| part.at.iter().any(|level| !level.is_nan()))
        .collect();
    let vary = parts.iter().filter(|part| part.vary()).count();
    let unordered = parts.iter().any(|part| part.vary() && !part.in_order);
    if unordered {
        // Assume that the largest were at one time, so that the result depends on nothing else.
        for part in &mut parts {
            if part.at[0].is_nan() || part.at[0] < part.at[1] {
                part.at.reverse();
            }
        }
    }
    let mut levels = [0, 1].map(|hour| sum(parts.iter().map(|part| part.at[hour])));
    if !whole {
        if unordered {
            // A second level alone means that there is no mean: we cannot know which level lasted longer.
            levels = [f64::NAN, levels[0].max(levels[1])];
        } else if levels[0].is_nan() {
            levels.reverse();
        }
    }
    for (hour, level) in hours.iter_mut().zip(levels) {
        hour[OCCUPANCY] = level;
    }
    let together = !unordered || whole && vary == 1;
    together && (vary == 0 || !parts.iter().any(Levels::is_single))
}

/// The sum of the present `values`; NaN if there are none.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let values = values.filter(|value| !value.is_nan());
    values.reduce(|one, other| one + other).unwrap_or(f64::NAN)
}
