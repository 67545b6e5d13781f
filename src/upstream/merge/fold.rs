//! The rows of one part in a bucket of a repeated hour.

use std::collections::BTreeSet;

use super::combine::{DWELL_TIME, ENTRANCES, by_value, differ};
use super::groups::Group;
use crate::upstream::wire::{NO_VALUES, Values};

/// Most distinct rows of one bucket and part: more than a few are in doubt.
const MOST_TOLD: usize = 16;

/// Assigns `rows`, in their order of arrival, to the two hours, or to a single sum of both; also returns whether that is certain.
pub(super) fn hours(mut rows: Vec<Values>, group: &Group<'_>) -> (Vec<Values>, bool) {
    if !group.in_order {
        rows.sort_unstable_by(by_value);
    }
    let shapes: BTreeSet<u32> = rows.iter().map(shape).collect();
    let mut pairs = shapes
        .iter()
        .flat_map(|one| shapes.iter().map(move |other| (one, other)));
    if pairs.any(|(one, other)| one & other == 0) {
        of_pieces(&rows, group)
    } else {
        two_of(rows, group, |one, other| by_value(one, other).is_eq())
    }
}

/// The metrics of a row, as bits.
fn shape(row: &Values) -> u32 {
    let present = row.iter().map(|value| u32::from(!value.is_nan()));
    present.fold(0, |shape, bit| shape << 1 | bit)
}

/// Assigns each metric's own rows: its first figure belongs to the first hour.
fn of_pieces(rows: &[Values], group: &Group<'_>) -> (Vec<Values>, bool) {
    let mut hours = vec![NO_VALUES; 2];
    let mut certain = true;
    let mut came = [0; NO_VALUES.len()];
    for metric in 0..NO_VALUES.len() {
        let mut figures: Vec<_> = rows.iter().map(|row| row[metric]).collect();
        figures.retain(|figure| !figure.is_nan());
        let (figures, sure) = two_of(figures, group, |one, other| !differ(*one, *other));
        certain &= sure;
        came[metric] = figures.len();
        for (hour, figure) in hours.iter_mut().zip(figures) {
            hour[metric] = figure;
        }
    }
    let alike = |metric: usize| came[metric] == 2 && !differ(hours[0][metric], hours[1][metric]);
    let once = came[DWELL_TIME] + came[ENTRANCES] == 2;
    let paired = group.in_order && came[DWELL_TIME] == came[ENTRANCES]
        || came[DWELL_TIME] == 0
        || came[ENTRANCES] == 0
        || once
        || alike(DWELL_TIME) && came[ENTRANCES] == 2
        || alike(ENTRANCES) && came[DWELL_TIME] == 2;
    if !paired {
        // We cannot know which entrances weight which dwell time.
        for hour in &mut hours {
            hour[DWELL_TIME] = f64::NAN;
        }
        certain = false;
    } else if once && came[DWELL_TIME] == 1 {
        // Treated as a sum of both hours; but one figure may belong to the first hour, and the other to the second.
        certain = false;
    }
    (hours, certain)
}

/// Selects at most two of `values`, and counts copies once; also returns whether that is certain.
fn two_of<T: Clone>(
    values: Vec<T>,
    group: &Group<'_>,
    same: impl Fn(&T, &T) -> bool,
) -> (Vec<T>, bool) {
    // Each value once, with its count.
    let mut each: Vec<(T, usize)> = Vec::new();
    for value in values {
        if let Some((_, count)) = each.iter_mut().find(|(known, _)| same(known, &value)) {
            *count += 1;
        } else if each.len() < MOST_TOLD {
            each.push((value, 1));
        }
    }
    let like = matches!(each.as_slice(), [(_, 2..)]);
    let hours: Vec<_> = each
        .iter()
        .flat_map(|(value, count)| std::iter::repeat_n(value.clone(), count.div_ceil(group.times)))
        .collect();
    if hours.len() <= 2 {
        // If some of the other rows have a copy and some have none, two equal rows may be either.
        let as_the_others = each
            .iter()
            .all(|(_, count)| count.is_multiple_of(group.times));
        return (hours, as_the_others && !(like && group.some_twice));
    }
    match each.as_slice() {
        [(one, _)] => (vec![one.clone(), one.clone()], false),
        [(one, _), (other, _)] => (vec![one.clone(), other.clone()], true),
        _ => (hours.into_iter().take(2).collect(), false),
    }
}
