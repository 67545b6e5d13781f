//! From the rows of one site to its figures.
//!
//! A bucket may come in several rows for four reasons: parts of the site (one for each region or filter), which combine as the metric
//! combines; metrics that come in rows of their own; hours that the clock shows twice; and copies of a row, which count once. What
//! was seen of a bucket is therefore seen for a metric and a part. What came of it does not hang on the order of the rows, with one
//! exception: in an hour that comes twice, the first row is the first hour, where all rows came in order of time.

mod doubt;
mod fold;
mod groups;

use self::doubt::{Doubt, Doubts};
use self::groups::{Group, Groups, Seen};
use super::wire::{Identity, Layout, NO_VALUES, Values};
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;

const ENTRANCES: usize = VendorMetric::Entrances as usize;
const DWELL_TIME: usize = VendorMetric::DwellTime as usize;
const OCCUPANCY: usize = VendorMetric::Occupancy as usize;

/// The figures of one site on the dates of a report.
#[derive(Debug)]
pub(super) struct SiteFigures {
    /// By date and slot, the second occurrences last; nothing where no row came.
    days: Vec<Option<Box<[Values]>>>,
}

impl SiteFigures {
    /// What the rows of `identities`, who are all of `site` and nobody else, come to. Warns of what they leave in doubt.
    pub(super) fn of(layout: &Layout, site: SiteId, identities: &[&Identity]) -> Self {
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
    fn of_one_part(layout: &Layout, site: SiteId, identities: &[&Identity]) -> Option<Self> {
        let mut parts = identities.iter().flat_map(|identity| &identity.parts);
        let mut figures = Self::empty(layout);
        let Some(part) = parts.next() else {
            return Some(figures);
        };
        if parts.next().is_some() {
            return None;
        }
        for (place, values) in part.rows() {
            let day = figures.day_at(layout, site, place);
            let figures = &mut day[place % layout.slots()];
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
        layout: &Layout,
        site: SiteId,
        identities: &[&Identity],
        doubts: &mut Doubts,
    ) -> Self {
        let folds: Vec<_> = (0..layout.request().dates.len())
            .map(|date| layout.fold(site, date))
            .collect();
        let (groups, rows) = Groups::of(layout, &folds, identities, doubts);
        let zone_is_known = layout.zone(site).is_some();
        let mut figures = Self::empty(layout);
        for rows in rows.chunk_by(|one, other| one.place == other.place) {
            let place = rows[0].place;
            let fold = &folds[place / layout.slots()];
            let slot = place % layout.slots();
            let folded = fold.slots.contains(&slot);
            let parts = parts_of(rows, &groups, folded, zone_is_known, doubts);
            let of_hour = |hour| combined(parts.iter().filter(|part| part.hour == hour));
            if folded && fold.whole {
                let second = layout.slots() + slot - fold.slots.start;
                let day = figures.day_at(layout, site, place);
                (day[slot], day[second]) = (of_hour(0), of_hour(1));
                continue;
            }
            let mut all = combined(&parts);
            if folded {
                // Levels at two times, and not those of two parts at one.
                all[OCCUPANCY] = mean(of_hour(0)[OCCUPANCY], of_hour(1)[OCCUPANCY]);
            }
            figures.day_at(layout, site, place)[slot] = all;
        }
        figures
    }

    fn empty(layout: &Layout) -> Self {
        let dates = layout.request().dates.len();
        Self {
            days: std::iter::repeat_with(|| None).take(dates).collect(),
        }
    }

    fn day_at(&mut self, layout: &Layout, site: SiteId, place: usize) -> &mut [Values] {
        let date = place / layout.slots();
        self.days[date].get_or_insert_with(|| {
            let second = layout.fold(site, date).second();
            vec![NO_VALUES; layout.slots() + second.len()].into()
        })
    }
}

/// What a part of a site has in one bucket.
struct Placed {
    group: usize,
    /// Which of two like hours it is of: 0 or 1.
    hour: usize,
    values: Values,
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
            values,
        }));
    }
    parts
}

/// Makes one of `rows`, which are copies or pieces of one; whether any figure came more than once.
fn merge_copies(rows: &mut Vec<Values>, mut note: impl FnMut(Doubt)) -> bool {
    let mut copied = false;
    let mut all = NO_VALUES;
    for values in rows.drain(..) {
        for (all, value) in all.iter_mut().zip(values) {
            if !all.is_nan() && !value.is_nan() {
                copied |= value > 0.0;
                if differ(*all, value) {
                    note(Doubt::FiguresDiffer);
                }
            }
            // The larger one, since late data adds to what was there.
            *all = all.max(value);
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

/// The figures of `parts` together, all at one time.
fn combined<'a>(parts: impl IntoIterator<Item = &'a Placed> + Clone) -> Values {
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

/// The mean of dwell times, weighted by the entrances of the same part; NaN where there is none.
fn dwell_time(parts: impl Iterator<Item = (f64, f64)>, entrances: f64) -> f64 {
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
        // None of these parts has a weight, and they must not get that of others.
        Some(_) if weight == 0.0 && entrances > 0.0 => f64::NAN,
        // It is their mean whatever their weights.
        Some(shared) if !shared.is_nan() => shared,
        Some(_) if weight == 0.0 => f64::NAN,
        Some(_) => sum / weight,
    }
}

fn mean(one: f64, other: f64) -> f64 {
    match (one.is_nan(), other.is_nan()) {
        (true, _) => other,
        (_, true) => one,
        _ => f64::midpoint(one, other),
    }
}

fn differ(one: f64, other: f64) -> bool {
    one.to_bits() != other.to_bits()
}

/// The order of rows that no order of arrival changes: larger figures first, and absent ones last.
fn by_value(one: &Values, other: &Values) -> std::cmp::Ordering {
    let key = |values: &Values| values.map(|value| if value.is_nan() { -1.0 } else { value });
    key(other)
        .iter()
        .zip(key(one))
        .map(|(other, one)| other.total_cmp(&one))
        .find(|order| order.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}

#[cfg(test)]
mod tests;
