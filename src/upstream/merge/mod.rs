//! From the rows of one site to its figures.
//!
//! A bucket may come in several rows for four reasons: parts of the site (one for each region or filter), which combine as the metric
//! combines; metrics that come in rows of their own; hours that the clock shows twice; and copies of a row, which count once. What
//! was seen of a bucket is therefore seen for a metric and a part. What came of it does not hang on the order of the rows, with one
//! exception: in an hour that comes twice, the first row is the first hour, where all rows came in order of time.
//!
//! Rows are kept, packed in a fraction of their text, until all of a site's are there: only all of them together tell these reasons
//! apart.
//!
//! Rows are of one part if entity, filter and regions (as a set) are the same; a name tells parts apart only where there is no
//! entity. Of rows that lack a key the figures decide: rows that say the same as those of another part are copies, others are a
//! part. Rows with the same keys are copies, unless nearly all buckets come twice with different figures.
//! Of copies with different figures one is taken whole, the larger by entrances and then by the other metrics, which no order of
//! rows changes; a row that contradicts it counts for nothing.
//!
//! In a repeated hour, as many rows are copies as in the other buckets; the order of two rows is believed where all rows of the part
//! came in order of time. Every bucket with a repeated minute has two occurrences, also one that is repeated in part (Lord Howe, by
//! the hour). The two are never shown apart. Both have the mean of their dwell times, so that entrances of another report, in another
//! order, weigh them rightly; dwell times of a day with a repeated hour are therefore asked for with entrances, like those of sites
//! in parts. Levels weigh in a mean as long as they last; where a bucket is repeated in part and its rows are out of order, only the
//! peak is kept. Figures of an hour that the clock skips are ignored.
//!
//! The merge warns of what stays in doubt, with site and date, and counts it in `pitaya_upstream_doubts_total`.

mod combine;
mod doubt;
mod fold;
mod groups;
mod hours;

use self::combine::{DWELL_TIME, OCCUPANCY, Placed, by_value, combined, differ, lacks_dwell_time};
use self::doubt::{Doubt, Doubts};
use self::groups::{Group, Groups, Seen};
use super::wire::{ClockChange, Identity, NO_VALUES, ReportShape, Values};
use crate::domain::site::SiteId;

/// The figures of one site on the dates of a report.
#[derive(Debug)]
pub(super) struct SiteFigures {
    /// By date and slot, the second occurrences last; nothing where no row came.
    days: Vec<Option<Box<[Values]>>>,
}

impl SiteFigures {
    /// What the rows of `identities`, who are all of `site` and nobody else, come to. Warns of what they leave in doubt.
    pub(super) fn of(layout: &ReportShape, site: SiteId, identities: &[&Identity]) -> Self {
        if let Some(figures) = Self::of_one_part(layout, site, identities) {
            return figures;
        }
        let mut doubts = Doubts::default();
        let figures = Self::of_parts(layout, site, identities, &mut doubts);
        doubts.tell(layout, site);
        figures
    }

    /// The figures on a date (its index): by slot, the second occurrences last.
    pub(super) fn day(&self, date: usize) -> Option<&[Values]> {
        self.days[date].as_deref()
    }

    /// Where there is but one part, and none of its figures twice, each figure is what its row says.
    fn of_one_part(layout: &ReportShape, site: SiteId, identities: &[&Identity]) -> Option<Self> {
        let mut parts = identities.iter().flat_map(|identity| &identity.parts);
        let changes = changes(layout, site);
        let mut figures = Self::empty(layout);
        let Some(part) = parts.next() else {
            return Some(figures);
        };
        if parts.next().is_some() {
            return None;
        }
        for (place, values) in part.rows() {
            let (date, slot) = (place / layout.slots(), place % layout.slots());
            if changes[date].skipped.contains(&slot) {
                if values.iter().any(|value| *value > 0.0) {
                    return None;
                }
                continue;
            }
            let day = figures.day_at(layout, changes[date], date);
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
        layout: &ReportShape,
        site: SiteId,
        identities: &[&Identity],
        doubts: &mut Doubts,
    ) -> Self {
        let changes = changes(layout, site);
        let (groups, rows) = Groups::of(layout, &changes, identities, doubts);
        let zone_is_known = layout.zone(site).is_some();
        let mut figures = Self::empty(layout);
        for rows in rows.chunk_by(|one, other| one.place == other.place) {
            let place = rows[0].place;
            let (date, slot) = (place / layout.slots(), place % layout.slots());
            let change = changes[date];
            let folded = change.repeated.contains(&slot);
            let parts = parts_of(rows, &groups, folded, zone_is_known, doubts);
            let day = figures.day_at(layout, change, date);
            if folded {
                let second = layout.slots() + slot - change.repeated.start;
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

    fn empty(layout: &ReportShape) -> Self {
        let dates = layout.request().dates.len();
        Self {
            days: std::iter::repeat_with(|| None).take(dates).collect(),
        }
    }

    fn day_at(&mut self, layout: &ReportShape, change: &ClockChange, date: usize) -> &mut [Values] {
        self.days[date]
            .get_or_insert_with(|| vec![NO_VALUES; layout.slots() + change.repeated.len()].into())
    }
}

/// What the clock of `site` does on each date.
fn changes(layout: &ReportShape, site: SiteId) -> Vec<&ClockChange> {
    let dates = 0..layout.request().dates.len();
    dates.map(|date| layout.change(site, date)).collect()
}

/// The parts that `rows`, which are all of one bucket, are of.
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
                // Which of them were at the same time can't be told.
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
            // Of an hour that the clock shows twice, perhaps, where not everything comes twice.
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

/// Makes one of `rows`, which are copies or pieces of one; whether any figure came more than once.
///
/// Where they say different things, none is made of the metrics of two: a row that contradicts a larger one counts for nothing.
fn merge_copies(rows: &mut Vec<Values>, mut note: impl FnMut(Doubt)) -> bool {
    // The larger one first, since late data adds to what was there.
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

/// Takes away of `rows`, which are copies of rows of several other groups, what one of these has.
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
