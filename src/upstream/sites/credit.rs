//! Turns an answer into certain cells, further requests, and knowledge. Nothing in here waits, locks or calls the vendor.
//!
//! A site's dwell time may be in parts (regions), whose weights are the entrances of the same parts; so a report of `dwell_time` for a
//! site known to be in parts requests `entrances` too, cached or not. Every answer shows which sites these are. An answer that shows a
//! site's parts for the first time, without their weights, is not used: Pitaya requests the site again. It never requests a figure twice
//! for sites in one part, which nearly all are; always requesting weights would cost 3 to 8 % of all figures (`--bench replay`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::learned::{Known, are_in_parts};
use super::resolve::{self, Grounds, Verdict};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::directory::SiteDirectory;
use crate::domain::site::SiteId;
use crate::upstream::cells::{self, Times};
use crate::upstream::report::Report;
use crate::upstream::wire::{Identity, Reader, ReportShape, lacks_weights};

/// The sites of an answer that were requested alone because of it: their cells come from those answers.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream) struct Asked {
    /// All of them.
    pub(in crate::upstream) sites: BTreeSet<SiteId>,
    /// Those whose request failed.
    pub(in crate::upstream) failed: BTreeSet<SiteId>,
}

/// The usable part of an answer for the sites of its request.
#[derive(Debug)]
pub(in crate::upstream) struct Credit<'a> {
    report: &'a Report,
    asked: &'a Asked,
    /// The rows of each site.
    rows: BTreeMap<SiteId, Vec<&'a Identity>>,
    /// Whether it contains only sites outside the request, or one of them among the rows of another.
    pub(in crate::upstream) is_refused: bool,
    /// The number of its identities that are other sites.
    pub(in crate::upstream) foreign: usize,
    /// The sites to request alone next, before anything is certain; none if there is no doubt left.
    pub(in crate::upstream) alone: BTreeSet<SiteId>,
    /// The sites that doubtful rows may belong to.
    pub(in crate::upstream) doubtful: BTreeSet<SiteId>,
    /// The sites whose rows only earlier answers identify.
    pub(in crate::upstream) learned: BTreeSet<SiteId>,
    /// The sites to request again, with the weights of their parts.
    pub(in crate::upstream) unweighted: BTreeSet<SiteId>,
    /// The sites that rows may still belong to after each was requested alone.
    untold: BTreeSet<SiteId>,
}

/// Credits the rows of `report` to the sites of its request, some of which have been `asked` for alone because of it.
pub(in crate::upstream) fn credit<'a>(
    report: &'a Report,
    known: &Known,
    asked: &'a Asked,
) -> Credit<'a> {
    let (answer, now) = (&report.answer, report.times.fetched_at);
    let request = report.shape.request();
    let mut credit = Credit {
        report,
        asked,
        rows: BTreeMap::new(),
        is_refused: false,
        foreign: 0,
        alone: BTreeSet::new(),
        doubtful: BTreeSet::new(),
        learned: BTreeSet::new(),
        unweighted: BTreeSet::new(),
        untold: BTreeSet::new(),
    };
    if let [site] = *request.sites.as_slice() {
        match resolve::alone(answer, site, now) {
            Some(rows) => drop(credit.rows.insert(site, rows)),
            None => credit.is_refused = true,
        }
    } else {
        let verdicts = resolve::verdicts(answer, &request.sites, known, now);
        credit.judge(&verdicts, known);
    }
    if lacks_weights(request.metrics) {
        let in_parts = |site: &SiteId| {
            known.is_in_parts(*site) || credit.rows.get(site).is_some_and(|it| are_in_parts(it))
        };
        let left = request.sites.iter().copied();
        credit.unweighted = left
            .filter(|site| !asked.sites.contains(site) && in_parts(site))
            .collect();
    }
    credit
}

impl Credit<'_> {
    fn judge(&mut self, verdicts: &[Verdict], known: &Known) {
        let asked = &self.asked.sites;
        for (identity, verdict) in self.report.answer.identities.iter().zip(verdicts) {
            match verdict {
                Verdict::Site(site, grounds) => {
                    if *grounds == Grounds::Learned {
                        self.learned.insert(*site);
                    }
                    self.rows.entry(*site).or_default().push(identity);
                }
                Verdict::Foreign => self.foreign += 1,
                Verdict::OneOf(tiers) => {
                    let open = |site: &&SiteId| !asked.contains(site);
                    let all = tiers.iter().flatten();
                    self.doubtful.extend(all.filter(open));
                    // For each, the likeliest sites that were not requested alone yet.
                    let next = tiers.iter().find(|tier| !tier.is_subset(asked));
                    self.alone.extend(next.into_iter().flatten().filter(open));
                }
            }
        }
        self.is_refused = self.foreign > 0 && self.foreign == verdicts.len();
        if self.alone.is_empty() && !asked.is_empty() {
            self.untold = self.untold(verdicts, known);
        }
    }

    /// The sites that rows may still belong to: those seen with the entity, else any.
    fn untold(&self, verdicts: &[Verdict], known: &Known) -> BTreeSet<SiteId> {
        let mut untold = BTreeSet::new();
        for (identity, verdict) in self.report.answer.identities.iter().zip(verdicts) {
            let Verdict::OneOf(tiers) = verdict else {
                continue;
            };
            let entity = identity.entity.as_deref();
            let is_of_entity = |rows: &[&Identity]| {
                let mut rows = rows.iter();
                entity.is_some() && rows.any(|it| it.entity.as_deref() == entity)
            };
            let credited = self.rows.iter().filter(|(_, rows)| is_of_entity(rows));
            let owners: BTreeSet<_> = entity
                .into_iter()
                .flat_map(|entity| known.owners_of(entity))
                .chain(credited.map(|(site, _)| *site))
                .filter(|site| tiers.iter().any(|tier| tier.contains(site)))
                .collect();
            if owners.is_empty() {
                untold.extend(tiers.iter().flatten());
            }
            untold.extend(owners);
        }
        untold.retain(|site| !self.asked.failed.contains(site));
        untold
    }

    /// The sites whose rows the answer does not identify by itself.
    pub(in crate::upstream) fn unproven(&self) -> BTreeSet<SiteId> {
        let all = self.doubtful.union(&self.learned);
        all.filter(|site| !self.asked.sites.contains(site))
            .copied()
            .collect()
    }

    /// The cells of the certain sites, except the sites `without`.
    pub(in crate::upstream) fn cells(&self, without: &BTreeSet<SiteId>) -> Vec<(CellKey, Cell)> {
        let left_out = [&self.doubtful, &self.unweighted, &self.asked.sites, without];
        let shape = &self.report.shape;
        let sites =
            shape.request().sites.iter().filter(|site| {
                !self.is_refused && !left_out.iter().any(|some| some.contains(site))
            });
        let cells = sites.flat_map(|site| {
            let rows = self.rows.get(site).map_or(&[][..], Vec::as_slice);
            cells::of_site(shape, *site, rows, self.report.times)
        });
        cells.collect()
    }

    /// Adds the knowledge from the answer to `known`, for a fetch that began after `since` purges.
    pub(in crate::upstream) fn teach(&self, known: &mut Known, since: u64) {
        let (answer, now) = (&self.report.answer, self.report.times.fetched_at);
        let requested = &self.report.shape.request().sites;
        if let [site] = **requested {
            let Some(rows) = self.rows.get(&site) else {
                return;
            };
            known.learn_alone(site, rows, since, now);
        } else {
            known.learn_batch(&self.rows, &self.learned, since, now);
        }
        known.learn_names(&answer.mapping, requested, since, now);
        if self.alone.is_empty() {
            known.asked_for(&self.asked.sites, &self.untold, since, now);
        }
    }
}

/// The sites of an answer with contradictory claims in its mapping.
pub(in crate::upstream) fn contested(report: &Report) -> BTreeSet<SiteId> {
    let contested = &report.answer.mapping.contested;
    let sites = report.shape.request().sites.iter().copied();
    sites.filter(|site| contested.contains(site)).collect()
}

/// Returns the trusted cells of a body, which arrives in `pieces`, as the answer to `request` by itself; `None` if the body is not
/// trusted at all. An entry for the fuzz target and the benches, which have bytes and no vendor.
#[doc(hidden)]
#[must_use]
pub fn credited_cells<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    request: &ReportRequest,
    directory: &SiteDirectory,
    fetched_at: Timestamp,
) -> Option<Vec<(CellKey, Cell)>> {
    let shape = Arc::new(ReportShape::new(request, directory));
    let mut reader = Reader::new(Arc::clone(&shape));
    for piece in pieces {
        reader.push(piece).ok()?;
    }
    let answer = reader.finish().ok()?;
    let report = Report {
        times: Times::new(fetched_at, answer.computed_at),
        answer,
        shape,
    };
    let (nothing, nobody) = (Known::default(), Asked::default());
    let credit = credit(&report, &nothing, &nobody);
    (!credit.is_refused).then(|| credit.cells(&BTreeSet::new()))
}

#[cfg(test)]
mod tests;
