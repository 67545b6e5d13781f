//! Search for the available parts of a failed report: the next requests, and the conclusions from their failures and answers.
//!
//! A report of several sites or days that fails by 413, 5xx or timeout may have been too large, may include a failing site, or may have
//! met a vendor that is down; so its parts are requested before the failure is believed, by sites and then by days. 413 and timeouts lead
//! to a split at once, 5xx after `max_attempts`. While the vendor has answered nothing at all there are four parts, the site (or day) at
//! each end and the halves of the rest, and if all fail, up to four single sites and days: if these fail too, all parts share the error.
//! So a vendor that fails everything costs at most eleven calls a report, retries included, and up to three failing sites, wherever they
//! are, do not affect the others. After that the search requests the smallest failed part in ever smaller pieces in parallel (of 31 days:
//! 16, 8, 4, 2 and 1), since a timeout takes long: one round finds a size that the vendor answers. Once that is learned, everything
//! missing is requested in reports of this size. A report makes 32 calls at most, which count as one for the circuit. Parts beyond these
//! calls fail with the failure of the whole, and the next try begins with the learned size. The search continues after its callers'
//! deadline, for six timeouts, so that "try again soon" is true. A truncated answer leaves no doubt: its search has no such bounds.

use std::cmp::Reverse;
use std::sync::Arc;

use super::error::{Blame, UpstreamError};
use super::limits::{self, Limits, is_minimal, size};
use super::report::Failure;
use crate::domain::batch::{self, Bounds};
use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::dates::{DateRange, add_days};

/// Parts of one report, requested in rounds.
#[derive(Debug)]
pub(super) struct Search {
    whole: ReportRequest,
    failure: Failure,
    /// Failed parts to request in smaller parts.
    rest: Vec<Failed>,
    /// Failed parts that are not requested again.
    lost: Vec<Failed>,
    /// The answered parts.
    pub(super) answered: Vec<ReportRequest>,
    /// Failed parts that may have been too large; if all their parts are answered, they were.
    suspects: Vec<ReportRequest>,
    /// Whether there must be no further calls.
    is_over: bool,
}

#[derive(Debug)]
struct Failed {
    request: ReportRequest,
    failure: Failure,
}

impl Search {
    /// Starts the search in `whole`, which failed.
    pub(super) fn new(whole: ReportRequest, failure: Failure) -> Self {
        let mut search = Self {
            whole: whole.clone(),
            failure: failure.clone(),
            rest: Vec::new(),
            lost: Vec::new(),
            answered: Vec::new(),
            suspects: Vec::new(),
            is_over: false,
        };
        search.has_failed(whole, failure);
        search
    }

    /// Whether the failure may have another reason than size, so that the search must not cost much.
    pub(super) fn is_bounded(&self) -> bool {
        let Failure { error, blame, .. } = &self.failure;
        *blame == Blame::Anything || *error == UpstreamError::Status(413)
    }

    /// Whether smaller parts than the failed ones may succeed because of their size.
    pub(super) fn may_be_of_size(&self) -> bool {
        let mut rest = self.rest.iter();
        !self.is_over && rest.any(|failed| failed.failure.blame != Blame::Site)
    }

    /// Returns the first parts to request. While the vendor has answered nothing at all, these are four parts, two of them small: up to
    /// three sites may fail, wherever they are, and one part still succeeds.
    pub(super) fn begin(&mut self, something_was_answered: bool) -> Vec<ReportRequest> {
        match self.rest.pop() {
            Some(failed) if something_was_answered => self.divided(&failed.request),
            Some(failed) => ends_and_halves(&failed.request),
            None => Vec::new(),
        }
    }

    /// Records that `part` failed.
    pub(super) fn has_failed(&mut self, part: ReportRequest, failure: Failure) {
        let blame = failure.blame;
        let may_be_split = match blame {
            Blame::Size | Blame::Anything => !is_minimal(&part),
            Blame::Site => part.sites.len() > 1,
            Blame::Vendor => false,
        };
        if blame == Blame::Vendor {
            self.is_over = true;
        }
        if may_be_split && blame != Blame::Site {
            self.suspects.push(part.clone());
        }
        let failed = Failed {
            request: part,
            failure,
        };
        if may_be_split {
            self.rest.push(failed);
        } else {
            self.lost.push(failed);
        }
    }

    /// Returns the failed requests whose parts have all been answered since, the smallest first, and each once.
    pub(super) fn too_large(&mut self) -> Vec<ReportRequest> {
        let missing: Vec<_> = self.rest.iter().chain(&self.lost).collect();
        let is_had = |suspect: &mut ReportRequest| {
            let overlaps = |failed: &&Failed| overlap(&failed.request, suspect);
            !missing.iter().any(overlaps)
        };
        let mut had: Vec<_> = self.suspects.extract_if(.., is_had).collect();
        had.sort_by_key(size);
        had
    }

    /// Returns the next parts to request; none at the end of the search.
    pub(super) fn next(&mut self, limits: &Limits, now: jiff::Timestamp) -> Vec<ReportRequest> {
        if self.is_over || self.rest.is_empty() {
            return Vec::new();
        }
        if !self.rest.iter().any(|it| limits.admit(&it.request, now)) {
            // The learned size allows a request for all of it.
            let rest = std::mem::take(&mut self.rest);
            let parts = limits.split(&self.whole, now).into_iter();
            return parts.flat_map(|part| missing(&rest, part)).collect();
        }
        // One after the other, the smallest first: its result spares the others the same failures.
        self.rest
            .sort_by_key(|failed| Reverse(size(&failed.request)));
        let smallest = self.rest.pop();
        smallest.map_or_else(Vec::new, |failed| self.divided(&failed.request))
    }

    /// Returns the failed parts. Each has the failure of the whole report, unless the failure can only be the part's own.
    pub(super) fn into_failures(self) -> Vec<(ReportRequest, Arc<UpstreamError>)> {
        let told = self
            .is_bounded()
            .then(|| Arc::new(self.failure.error.clone()));
        let failed = self.rest.into_iter().chain(self.lost);
        failed
            .map(|Failed { request, failure }| {
                let own = || Arc::new(failure.error);
                (request, told.clone().unwrap_or_else(own))
            })
            .collect()
    }

    /// Divides `request` into halves if about half as much was answered, else into ever smaller parts to request in parallel: if a
    /// failure takes long, one round finds a size that the vendor answers.
    fn divided(&self, request: &ReportRequest) -> Vec<ReportRequest> {
        let refused = size(request);
        let is_close = |it: &ReportRequest| size(it) < refused && size(it) * 2 >= refused;
        let is_known = self.answered.iter().any(is_close);
        let mut parts = Vec::new();
        let mut rest = request.clone();
        while let Some([first, second]) = limits::halves(&rest) {
            if rest.sites.len() == 1 && request.sites.len() > 1 {
                break;
            }
            parts.push(first);
            rest = second;
            if is_known {
                break;
            }
        }
        parts.push(rest);
        // The smallest first, in case the calls do not suffice for all.
        parts.sort_by_key(size);
        parts
    }
}

/// Divides `request` into four parts, or fewer if there are fewer sites: the site at each end, and the halves of the rest. A single site
/// is divided by days.
fn ends_and_halves(request: &ReportRequest) -> Vec<ReportRequest> {
    if request.sites.len() == 1 {
        return in_four(request.dates.len())
            .into_iter()
            .filter_map(|(from, to)| {
                let day = |at| {
                    add_days(
                        request.dates.from(),
                        i32::try_from(at).expect("a report has few days"),
                    )
                };
                let dates = DateRange::new(day(from), day(to - 1))?;
                Some(request.with_dates(dates))
            })
            .collect();
    }
    in_four(request.sites.len())
        .into_iter()
        .map(|(from, to)| request.with_sites(request.sites[from..to].to_vec()))
        .collect()
}

/// The ranges of the first, of the halves between, and of the last of `len`: none of them empty.
fn in_four(len: usize) -> Vec<(usize, usize)> {
    let (first, last) = (1.min(len), len.saturating_sub(1).max(1));
    let middle = usize::midpoint(first, last);
    [(0, first), (first, middle), (middle, last), (last, len)]
        .into_iter()
        .filter(|(from, to)| from < to)
        .collect()
}

/// The intersection of `part` and the `failed` requests, in few reports.
fn missing(failed: &[Failed], part: ReportRequest) -> Vec<ReportRequest> {
    let is_missing = |key: &CellKey| {
        let mut failed = failed.iter();
        failed.any(|it| it.request.dates.contains(key.date) && it.request.sites.contains(&key.site))
    };
    let cells: Vec<_> = part.cells().filter(is_missing).collect();
    if cells.len() == part.cells().count() {
        return vec![part];
    }
    let bounds = Bounds {
        max_sites: usize::MAX,
        max_days: usize::MAX,
    };
    batch::reports(&cells, bounds)
}

fn overlap(one: &ReportRequest, other: &ReportRequest) -> bool {
    one.dates.from() <= other.dates.to()
        && other.dates.from() <= one.dates.to()
        && one.sites.iter().any(|site| other.sites.contains(site))
}
