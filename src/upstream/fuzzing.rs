//! The door for the fuzz target, which has bytes and no vendor.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::cells::{self, Times};
use super::learned::Known;
use super::resolve::{self, Verdict};
use super::wire::{self, Layout};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::directory::SiteDirectory;

/// The cells that `body` is trusted for as the answer to `request`; `None` where it is not trusted at all.
///
/// Sites are told apart by what the answer says itself: of those that would be asked for alone there are no cells.
#[must_use]
pub fn trusted_cells(
    body: &[u8],
    request: &ReportRequest,
    directory: &SiteDirectory,
    fetched_at: Timestamp,
) -> Option<Vec<(CellKey, Cell)>> {
    let layout = Layout::new(request, directory);
    let answer = wire::parse(body, &layout).ok()?;
    let times = Times::new(fetched_at, answer.computed_at);
    if let [site] = *request.sites.as_slice() {
        let identities = resolve::alone(&answer, site)?;
        return Some(cells::of_site(&layout, site, &identities, times).collect());
    }
    let verdicts = resolve::verdicts(&answer, &request.sites, &Known::new());
    let in_doubt: BTreeSet<_> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::OneOf(tiers) => Some(tiers.iter().flatten().copied()),
            Verdict::Site(_) | Verdict::Foreign => None,
        })
        .flatten()
        .collect();
    let sites = resolve::by_site(&answer, &verdicts);
    let certain = sites.iter().filter(|(site, _)| !in_doubt.contains(site));
    Some(
        certain
            .flat_map(|(site, identities)| cells::of_site(&layout, *site, identities, times))
            .collect(),
    )
}
