//! The rows of one part in a bucket of an hour that comes twice.

use std::collections::BTreeSet;

use super::combine::{DWELL_TIME, ENTRANCES, by_value, differ};
use super::groups::Group;
use crate::upstream::wire::{NO_VALUES, Values};

/// Rows of one bucket and part that are told apart: any more than a few are in doubt.
const MOST_TOLD: usize = 16;

/// What `rows`, in their order of arrival, say of the two hours, or of one that they sum; and whether there is no doubt of it.
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

/// Which figures a row has, as bits.
fn shape(row: &Values) -> u32 {
    let present = row.iter().map(|value| u32::from(!value.is_nan()));
    present.fold(0, |shape, bit| shape << 1 | bit)
}

/// Each metric in rows of its own: its first figure is of the first hour.
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
        // Which entrances weigh which dwell time can't be told.
        for hour in &mut hours {
            hour[DWELL_TIME] = f64::NAN;
        }
        certain = false;
    } else if once && came[DWELL_TIME] == 1 {
        // Taken for an hour that sums both; but one may be of the first hour, and the other of the second.
        certain = false;
    }
    (hours, certain)
}

/// Of `values`, copies of which count once, two at most; and whether there is no doubt of it.
fn two_of<T: Clone>(
    values: Vec<T>,
    group: &Group<'_>,
    same: impl Fn(&T, &T) -> bool,
) -> (Vec<T>, bool) {
    // Each value once, and how often it came.
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
        // Where some of the other rows have a copy and some have none, two like rows may be either.
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
