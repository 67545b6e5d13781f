//! Grouping of a site's rows into parts, by their keys and, if these leave doubt, by their figures.

use std::collections::{BTreeMap, BTreeSet};

use super::combine::differ;
use super::doubts::Doubts;
use crate::upstream::doubt::Doubt;
use crate::upstream::wire::{ClockChange, Identity, NO_VALUES, Part, ReportShape, Values};

/// Most parts of one site to compare by their figures; no honest site has nearly as many.
const MOST_COMPARED: usize = 64;
/// Equal figures required for certainty.
const ENOUGH: u32 = 3;

/// A row of a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Its bucket: see [`ReportShape::slots`].
    pub(super) place: usize,
    /// Its group.
    pub(super) group: usize,
    /// Its position among the rows of its part.
    order: usize,
    /// Its figures.
    pub(super) values: Values,
}

/// Rows of one part of a site.
#[derive(Debug, Default)]
pub(super) struct Group<'a> {
    names: BTreeSet<&'a str>,
    /// Earlier groups that its rows may also belong to, as far as their keys show: some keys are missing.
    like: Vec<usize>,
    /// The group that it proved to be the same as.
    same_as: Option<usize>,
    /// The groups whose rows it has copies of, if there are several.
    pub(super) copies_of: Vec<usize>,
    /// Whether rows with the same keys and time belong to different parts, rather than being copies.
    pub(super) repeats_are_parts: bool,
    /// The least number of times that each of its rows came: two if the vendor sends everything twice.
    pub(super) times: usize,
    /// Whether some of its rows came more often than others.
    pub(super) some_twice: bool,
    /// Whether its rows came in order of time.
    pub(super) in_order: bool,
}

/// The keys of a part. Those with the most keys come first, in any order of the rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    missing: usize,
    entity: Option<&'a str>,
    filter: Option<&'a str>,
    regions: Option<&'a str>,
    /// The name, only without an entity: with one, it distinguishes nothing.
    name: Option<&'a str>,
}

/// The groups of one site.
pub(super) struct Groups<'a>(Vec<Group<'a>>);

/// Counts of equal and different figures in two sets of rows. Two zeros are no evidence.
#[derive(Default)]
struct Evidence {
    alike: u32,
    unlike: u32,
    /// The place of the first of them.
    first: Option<usize>,
}

impl<'a> Groups<'a> {
    /// Groups the rows of `identities`, and returns them by place and group.
    pub(super) fn of(
        shape: &ReportShape,
        changes: &[&ClockChange],
        identities: &[&'a Identity],
        doubts: &mut Doubts,
    ) -> (Self, Vec<Seen>) {
        let (change, slot) = (
            |place: usize| changes[place / shape.slots()],
            |place: usize| place % shape.slots(),
        );
        let folded = |place: usize| change(place).repeated.contains(&slot(place));
        let skipped = |place: usize| change(place).skipped.contains(&slot(place));
        let mut by_key: BTreeMap<Key<'a>, Vec<(&'a Identity, &'a Part)>> = BTreeMap::new();
        for identity in identities {
            for part in &identity.parts {
                let parts = by_key.entry(Key::of(identity, part)).or_default();
                parts.push((identity, part));
            }
        }
        let keys: Vec<Key<'a>> = by_key.keys().copied().collect();
        let (mut groups, mut rows) = (Vec::with_capacity(keys.len()), Vec::new());
        for (group, parts) in by_key.into_values().enumerate() {
            let in_order = match parts.as_slice() {
                [(_, part)] => in_order(part, shape.slots(), folded),
                _ => false,
            };
            groups.push(Group {
                names: parts
                    .iter()
                    .filter_map(|(it, _)| it.name.as_deref())
                    .collect(),
                in_order,
                times: 1,
                ..Group::default()
            });
            for (_, part) in parts {
                for (order, (place, values)) in part.rows().enumerate() {
                    if skipped(place) {
                        if values.iter().any(|value| *value > 0.0) {
                            doubts.note(Doubt::SkippedHour, place);
                        }
                        continue;
                    }
                    rows.push(Seen {
                        place,
                        group,
                        order,
                        values,
                    });
                }
            }
        }
        let mut groups = Self(groups);
        sort(&mut rows);
        if keys.len() <= MOST_COMPARED {
            groups.compare(&keys, &mut rows, folded, doubts);
        } else if keys.iter().any(|key| key.missing > 0) {
            doubts.note(
                Doubt::PartsOrCopies,
                rows.first().map_or(0, |row| row.place),
            );
        }
        groups.count_repeats(&rows, folded, doubts);
        (groups, rows)
    }

    /// The group of that index.
    pub(super) fn get(&self, group: usize) -> &Group<'a> {
        &self.0[group]
    }

    /// Finds groups with missing keys that are the same as others.
    fn compare(
        &mut self,
        keys: &[Key<'a>],
        rows: &mut [Seen],
        folded: impl Fn(usize) -> bool,
        doubts: &mut Doubts,
    ) {
        for (group, key) in keys.iter().enumerate().filter(|(_, key)| key.missing > 0) {
            let agrees = |other: &usize| self.may_be_one((key, group), (&keys[*other], *other));
            self.0[group].like = (0..group).filter(agrees).collect();
        }
        if self.0.iter().all(|group| group.like.is_empty()) {
            return;
        }
        let evidence = self.evidence(rows, &folded);
        for (group, evidence) in evidence.iter().enumerate() {
            let like: BTreeSet<_> = self.0[group].like.iter().map(|it| self.root(*it)).collect();
            if like.is_empty() {
                continue;
            }
            let Evidence { alike, unlike, .. } = *evidence;
            let is_copy = unlike == 0 || alike > unlike;
            let certain = if is_copy {
                alike + unlike == 0 || alike >= ENOUGH && unlike == 0
            } else {
                unlike >= ENOUGH && unlike >= ENOUGH * alike
            };
            if let (false, Some(place)) = (certain, evidence.first) {
                doubts.note(Doubt::PartsOrCopies, place);
            }
            match like.first() {
                Some(only) if is_copy && like.len() == 1 => {
                    self.0[group].same_as = Some(*only);
                    let names = std::mem::take(&mut self.0[group].names);
                    self.0[*only].names.extend(names);
                    self.0[*only].in_order = false;
                }
                _ if is_copy && alike > 0 => self.0[group].copies_of = like.into_iter().collect(),
                _ => {}
            }
        }
        for row in &mut *rows {
            row.group = self.root(row.group);
        }
        sort(rows);
    }

    fn may_be_one(&self, one: (&Key<'a>, usize), other: (&Key<'a>, usize)) -> bool {
        let agree = |one: Option<&str>, other: Option<&str>| {
            one.is_none() || other.is_none() || one == other
        };
        let (names, others) = (&self.0[one.1].names, &self.0[other.1].names);
        let (one, other) = (one.0, other.0);
        agree(one.entity, other.entity)
            && agree(one.filter, other.filter)
            && agree(one.regions, other.regions)
            && (one.entity.is_some() && other.entity.is_some()
                || names.is_empty()
                || others.is_empty()
                || !names.is_disjoint(others))
    }

    /// Compares the figures of each group to those of the groups that it may be the same as.
    fn evidence(&self, rows: &[Seen], folded: impl Fn(usize) -> bool) -> Vec<Evidence> {
        let mut evidence: Vec<_> = self.0.iter().map(|_| Evidence::default()).collect();
        for rows in rows.chunk_by(|one, other| one.place == other.place) {
            let place = rows[0].place;
            for mine in rows.chunk_by(|one, other| one.group == other.group) {
                let group = mine[0].group;
                let like = &self.0[group].like;
                if like.is_empty() {
                    continue;
                }
                let (mine, others) = (largest(mine), || {
                    rows.iter()
                        .filter(|row| like.binary_search(&row.group).is_ok())
                });
                for (metric, value) in mine.iter().enumerate().filter(|(_, it)| !it.is_nan()) {
                    let mut known = others().map(|row| row.values[metric]);
                    let mut known = known.by_ref().filter(|it| !it.is_nan()).peekable();
                    if known.peek().is_none() {
                        continue;
                    }
                    let unlike = known.all(|other| differ(other, *value));
                    if folded(place) {
                        // Either may be the other hour.
                        evidence[group].first.get_or_insert(place);
                    } else {
                        evidence[group].count(unlike, *value, place);
                    }
                }
            }
        }
        evidence
    }

    /// Decides whether the rows that a group has for one bucket are copies, or belong to parts without distinguishing keys: the other
    /// buckets show whether all rows come twice.
    fn count_repeats(
        &mut self,
        rows: &[Seen],
        folded: impl Fn(usize) -> bool,
        doubts: &mut Doubts,
    ) {
        let mut counts: Vec<_> = self.0.iter().map(|_| Repeats::default()).collect();
        for rows in rows.chunk_by(|one, other| (one.place, one.group) == (other.place, other.group))
        {
            if folded(rows[0].place) {
                continue;
            }
            counts[rows[0].group].count(rows);
        }
        for (group, repeats) in self.0.iter_mut().zip(counts) {
            let Evidence { alike, unlike, .. } = repeats.evidence;
            group.times = repeats.times.unwrap_or(1);
            group.some_twice = group.times == 1 && repeats.twice > 0;
            group.repeats_are_parts =
                unlike >= ENOUGH && unlike > 2 * alike && 2 * repeats.twice >= repeats.buckets;
            if let (true, Some(place)) = (group.repeats_are_parts, repeats.evidence.first) {
                doubts.note(Doubt::PartsOrCopies, place);
            }
        }
    }

    fn root(&self, mut group: usize) -> usize {
        while let Some(same) = self.0[group].same_as {
            group = same;
        }
        group
    }
}

/// Counts of the rows of one group in each bucket.
#[derive(Default)]
struct Repeats {
    evidence: Evidence,
    buckets: u32,
    twice: u32,
    times: Option<usize>,
}

impl Repeats {
    fn count(&mut self, rows: &[Seen]) {
        self.buckets += 1;
        let mut most = 1;
        for metric in 0..rows[0].values.len() {
            let figures = rows.iter().map(|row| row.values[metric]);
            let mut figures = figures.filter(|figure| !figure.is_nan());
            let Some(first) = figures.next() else {
                continue;
            };
            let (mut count, mut unlike) = (1, false);
            for figure in figures {
                count += 1;
                unlike |= differ(first, figure);
            }
            if count > 1 {
                self.evidence.count(unlike, first, rows[0].place);
            }
            most = most.max(count);
        }
        self.twice += u32::from(most > 1);
        self.times = Some(self.times.map_or(most, |times| times.min(most)));
    }
}

impl Evidence {
    fn count(&mut self, unlike: bool, figure: f64, place: usize) {
        if unlike {
            self.unlike += 1;
        } else if figure > 0.0 {
            self.alike += 1;
        } else {
            return;
        }
        self.first.get_or_insert(place);
    }
}

impl<'a> Key<'a> {
    fn of(identity: &'a Identity, part: &'a Part) -> Self {
        let entity = identity.entity.as_deref();
        let name = identity.name.as_deref().filter(|_| entity.is_none());
        let (filter, regions) = (part.filter.as_deref(), part.regions.as_deref());
        let keys = [entity, filter, regions];
        Self {
            missing: keys.iter().filter(|key| key.is_none()).count(),
            entity,
            filter,
            regions,
            name,
        }
    }
}

/// Whether the figures of each metric are in order of time, as far as the clock shows, which goes back once in a repeated hour.
fn in_order(part: &Part, slots: usize, folded: impl Fn(usize) -> bool) -> bool {
    let mut last = [None; crate::domain::metric::VendorMetric::ALL.len()];
    part.rows().all(|(place, values)| {
        let mut last = last.iter_mut().zip(values).filter(|(_, it)| !it.is_nan());
        last.all(|(last, _)| {
            let before = last.replace(place);
            before.is_none_or(|before| {
                before <= place
                    || before / slots == place / slots && folded(before) && folded(place)
            })
        })
    })
}

/// The largest figure of each metric.
fn largest(rows: &[Seen]) -> Values {
    let largest = |all: Values, row: &Seen| std::array::from_fn(|at| all[at].max(row.values[at]));
    rows.iter().fold(NO_VALUES, largest)
}

fn sort(rows: &mut [Seen]) {
    rows.sort_unstable_by_key(|row| (row.place, row.group, row.order));
}
