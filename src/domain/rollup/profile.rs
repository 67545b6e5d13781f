//! Profiles: their counts are means over the observed occurrences of a part of the day or week.

use crate::domain::bucket::Profile;
use crate::domain::table::{Table, Values};
use crate::domain::timeline::Timeline;

/// Makes the sums of the counts in `table` means over their observed occurrences, and adds the number of these as the column `days`.
/// `roll` makes the rows of one of the `groups` by the timeline `occurrences`, whose buckets are `folded` into those of the table.
///
/// Where the counts of a row were observed in different occurrences, each is the mean over its own, and `days` counts those of any. Without
/// a count, it counts the occurrences of any figure.
pub(super) fn average(
    table: &mut Table,
    profile: Profile,
    folded: &Timeline,
    occurrences: &Timeline,
    groups: &[usize],
    mut roll: impl FnMut(usize) -> Table,
) {
    table.set_profile(profile);
    let columns = table.metrics().len();
    let counts: Vec<bool> = table
        .metrics()
        .iter()
        .map(|metric| metric.is_count())
        .collect();
    let any_count = counts.contains(&true);
    let times = folded.starts().len();
    let mut days = Vec::with_capacity(groups.len() * times);
    for (place, group) in groups.iter().enumerate() {
        let rows = roll(*group);
        let mut observed = vec![0_u32; times * columns];
        let mut of_any = vec![0_u32; times];
        for from in 0..occurrences.starts().len() {
            let (row, to) = (rows.row(0, from), folded.folded(from));
            for (count, figure) in observed[to * columns..].iter_mut().zip(row) {
                *count += u32::from(!figure.is_nan());
            }
            let seen = row
                .iter()
                .zip(&counts)
                .any(|(figure, is_count)| !figure.is_nan() && (*is_count || !any_count));
            of_any[to] += u32::from(seen);
        }
        for time in 0..times {
            let row = table.row_mut(place, time);
            for (column, value) in row.iter_mut().enumerate() {
                let days = observed[time * columns + column];
                if counts[column] && days > 0 {
                    *value /= f64::from(days);
                }
            }
        }
        days.extend(of_any.into_iter().map(f64::from));
    }
    table.push_extra(None, "days", Values::Counts(days));
}
