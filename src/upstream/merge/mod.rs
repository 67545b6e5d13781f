//! Merging of one site's rows into its figures.
//!
//! A bucket may have several rows for four reasons: parts of the site (one for each region or filter), which combine as the metric
//! combines; metrics in rows of their own; hours that the clock shows twice; and copies of a row, which count once. So each observation
//! of a bucket belongs to a metric and a part. The result does not depend on the order of the rows, with one exception: in a repeated
//! hour, the first row is the first hour if all rows are in order of time.
//!
//! Rows are kept, packed into a fraction of their text, until all rows of a site are there: only all of them together distinguish these
//! reasons.
//!
//! Rows belong to one part if entity, filter and regions (as a set) are the same; a name distinguishes parts only without an entity. If
//! rows lack a key, the figures decide: rows with the same figures as those of another part are copies, others are a part. Rows with the
//! same keys are copies, unless nearly all buckets have two rows with different figures. Among copies with different figures the merge
//! takes one whole row, the larger by entrances and then by the other metrics, so the order of rows has no influence; it ignores a row
//! that contradicts that one.
//!
//! In a repeated hour, as many rows are copies as in the other buckets; the order of two rows is trusted if all rows of the part are in
//! order of time. Every bucket with a repeated minute has two occurrences, including a bucket that is repeated in part (Lord Howe, by the
//! hour). Answers never show the two separately. Both get the mean of their dwell times, so that entrances of another report, in another
//! order, weight them correctly; reports of dwell times for a day with a repeated hour therefore request entrances too, like those of
//! sites in parts. The weight of a level in a mean is its duration; if a bucket is repeated in part and its rows are out of order, only
//! the peak is kept. Figures of an hour that the clock skips are ignored.
//!
//! The merge warns about remaining doubts, with site and date, and counts them in `pitaya_upstream_doubts_total`.

mod combine;
mod doubts;
mod fold;
mod groups;
mod hours;

use self::combine::{DWELL_TIME, OCCUPANCY, Placed, by_value, combined, differ, lacks_dwell_time};
use self::doubts::Doubts;
use self::groups::{Group, Groups, Seen};
use super::wire::{ClockChange, Identity, NO_VALUES, ReportShape, Values};
use crate::domain::site::SiteId;
use crate::upstream::doubt::Doubt;

/// The figures of one site on the dates of a report.
#[derive(Debug)]
pub(super) struct SiteFigures {
    /// By date and slot, the second occurrences last; `None` for a date without rows.
    days: Vec<Option<Box<[Values]>>>,
}

impl SiteFigures {
    /// Merges the rows of `identities`, all of which belong to `site` alone. Warns about doubts.
    pub(super) fn of(shape: &ReportShape, site: SiteId, identities: &[&Identity]) -> Self {
        if let Some(figures) = Self::of_one_part(shape, site, identities) {
            return figures;
        }
        let mut doubts = Doubts::default();
        let figures = Self::of_parts(shape, site, identities, &mut doubts);
        doubts.tell(shape, site);
        figures
    }

    /// The figures on a date (its index): by slot, the second occurrences last.
    pub(super) fn day(&self, date: usize) -> Option<&[Values]> {
        self.days[date].as_deref()
    }

    /// Takes each figure from its row, if there is only one part and no figure comes twice.
    fn of_one_part(shape: &ReportShape, site: SiteId, identities: &[&Identity]) -> Option<Self> {
        let mut parts = identities.iter().flat_map(|identity| &identity.parts);
        let changes = changes(shape, site);
        let mut figures = Self::empty(shape);
        let Some(part) = parts.next() else {
            return Some(figures);
        };
        if parts.next().is_some() {
            return None;
        }
        for (place, values) in part.rows() {
            let (date, slot) = (place / shape.slots(), place % shape.slots());
            if changes[date].skipped.contains(&slot) {
                if values.iter().any(|value| *value > 0.0) {
                    return None;
                }
                continue;
            }
            let day = figures.day_at(shape, changes[date], date);
            let figures = &mut day[slot];
            for (figure, value) in figures.iter_mut().zip(values) {
                if !value.is_nan() {
                    if !figure.is_nan() {
                        return None;
                    }
                    *figure = value;
                }
            }
        }
        Some(figures)
    }

    fn of_parts(
        shape: &ReportShape,
        site: SiteId,
        identities: &[&Identity],
        doubts: &mut Doubts,
    ) -> Self {
        let changes = changes(shape, site);
        let (groups, rows) = Groups::of(shape, &changes, identities, doubts);
        let zone_is_known = shape.zone(site).is_some();
        let mut figures = Self::empty(shape);
        for rows in rows.chunk_by(|one, other| one.place == other.place) {
            let place = rows[0].place;
            let (date, slot) = (place / shape.slots(), place % shape.slots());
            let change = changes[date];
            let folded = change.repeated.contains(&slot);
            let parts = parts_of(rows, &groups, folded, zone_is_known, doubts);
            let day = figures.day_at(shape, change, date);
            if folded {
                let second = shape.slots() + slot - change.repeated.start;
                let (hours, certain) = hours::of(&parts, change.whole);
                [day[slot], day[second]] = hours;
                if !certain {
                    doubts.note(Doubt::RepeatedHour, place);
                }
            } else {
                day[slot] = combined(&parts);
                if lacks_dwell_time(&parts) {
                    day[slot][DWELL_TIME] = f64::NAN;
                    doubts.note(Doubt::PartialDwellTime, place);
                }
            }
        }
        figures
    }

    fn empty(shape: &ReportShape) -> Self {
        Self {
            days: vec![None; shape.request().dates.len()],
        }
    }

    fn day_at(&mut self, shape: &ReportShape, change: &ClockChange, date: usize) -> &mut [Values] {
        self.days[date]
            .get_or_insert_with(|| vec![NO_VALUES; shape.slots() + change.repeated.len()].into())
    }
}

/// The clock changes of `site` on each date.
fn changes(shape: &ReportShape, site: SiteId) -> Vec<&ClockChange> {
    let dates = 0..shape.request().dates.len();
    dates.map(|date| shape.change(site, date)).collect()
}

/// Merges `rows`, all of one bucket, into parts.
fn parts_of(
    rows: &[Seen],
    groups: &Groups<'_>,
    folded: bool,
    zone_is_known: bool,
    doubts: &mut Doubts,
) -> Vec<Placed> {
    let mut parts = Vec::with_capacity(rows.len());
    for rows in rows.chunk_by(|one, other| one.group == other.group) {
        let (place, group) = (rows[0].place, groups.get(rows[0].group));
        let mut values: Vec<_> = rows.iter().map(|row| row.values).collect();
        let mut hours = vec![0; values.len()];
        if group.repeats_are_parts && group.copies_of.is_empty() {
            values.sort_unstable_by(by_value);
            if folded && values.len() > group.times {
                // We cannot know which of them were at the same time.
                for values in &mut values {
                    values[OCCUPANCY] = f64::NAN;
                }
                doubts.note(Doubt::RepeatedHour, place);
            }
        } else if folded && rows.len() > 1 {
            let certain;
            (values, certain) = fold::hours(values, group);
            hours = (0..values.len()).collect();
            if !certain {
                doubts.note(Doubt::RepeatedHour, place);
            }
        } else {
            let copied = merge_copies(&mut values, |doubt| doubts.note(doubt, place));
            // Without a known zone they may belong to a repeated hour, if not every row comes twice.
            if copied && !zone_is_known && group.times == 1 {
                doubts.note(Doubt::RepeatedHour, place);
            }
        }
        if !group.copies_of.is_empty() {
            drop_copies(&mut values, &parts, group, |doubt| {
                doubts.note(doubt, place);
            });
        }
        let placed = hours.into_iter().zip(values);
        parts.extend(placed.map(|(hour, values)| Placed {
            group: rows[0].group,
            hour,
            in_order: group.in_order,
            values,
        }));
    }
    parts
}

/// Merges `rows`, which are copies or pieces of one row; returns whether any figure comes more than once.
///
/// If rows contradict each other, the result never mixes metrics of two: a row that contradicts a larger one does not count.
fn merge_copies(rows: &mut Vec<Values>, mut note: impl FnMut(Doubt)) -> bool {
    // The larger one first, since late data adds to earlier data.
    rows.sort_unstable_by(by_value);
    let mut copied = false;
    let mut all = NO_VALUES;
    for values in rows.drain(..) {
        let mut both = all
            .iter()
            .zip(values)
            .filter(|(all, value)| !all.is_nan() && !value.is_nan());
        copied |= both.clone().any(|(_, value)| value > 0.0);
        if both.any(|(all, value)| differ(*all, value)) {
            note(Doubt::FiguresDiffer);
            continue;
        }
        for (all, value) in all.iter_mut().zip(values).filter(|(all, _)| all.is_nan()) {
            *all = value;
        }
    }
    rows.push(all);
    copied
}

/// Removes from `rows`, which are copies of rows of several other groups, each figure that one of these has.
fn drop_copies(
    rows: &mut [Values],
    parts: &[Placed],
    group: &Group<'_>,
    mut note: impl FnMut(Doubt),
) {
    for values in rows {
        for (metric, value) in values.iter_mut().enumerate() {
            let mut known = parts
                .iter()
                .filter(|part| group.copies_of.contains(&part.group))
                .map(|part| part.values[metric])
                .filter(|known| !known.is_nan())
                .peekable();
            if value.is_nan() || known.peek().is_none() {
                continue;
            }
            if known.all(|known| differ(known, *value)) {
                note(Doubt::FiguresDiffer);
            }
            *value = f64::NAN;
        }
    }
}

#[cfg(test)]
mod tests;
