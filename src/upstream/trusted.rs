//! The door for the fuzz target and the benches, which have bytes and no vendor.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::cells::{self, Times};
use super::sites::learned::Known;
use super::sites::resolve::{self, Verdict};
use super::wire::{Reader, ReportShape};
use crate::domain::cell::{Cell, CellKey, ReportRequest};
use crate::domain::directory::SiteDirectory;

/// The cells that a body, which arrives in `pieces`, is trusted for as the answer to `request`; `None` where it is not trusted at all.
///
/// Sites are told apart by what the answer says itself: of those that would be asked for alone there are no cells.
#[doc(hidden)]
#[must_use]
pub fn trusted_cells<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    request: &ReportRequest,
    directory: &SiteDirectory,
    fetched_at: Timestamp,
) -> Option<Vec<(CellKey, Cell)>> {
    let layout = Arc::new(ReportShape::new(request, directory));
    let mut reader = Reader::new(Arc::clone(&layout));
    for piece in pieces {
        reader.push(piece).ok()?;
    }
    let answer = reader.finish().ok()?;
    let times = Times::new(fetched_at, answer.computed_at);
    if let [site] = *request.sites.as_slice() {
        let identities = resolve::alone(&answer, site, fetched_at)?;
        return Some(cells::of_site(&layout, site, &identities, times).collect());
    }
    let verdicts = resolve::verdicts(&answer, &request.sites, &Known::default(), fetched_at);
    let in_doubt: BTreeSet<_> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::OneOf(tiers) => Some(tiers.iter().flatten().copied()),
            Verdict::Site(..) | Verdict::Foreign => None,
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
