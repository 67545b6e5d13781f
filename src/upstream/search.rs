//! The search for what can be had of a report that failed: what to ask for next, and what its failures and answers tell.
//!
//! A report of several sites or days that fails by 413, 5xx or time may have been too large, may hold a site that fails, or may
//! have met a vendor that is down; so it is asked for in parts before its failure is believed, by sites and then days. 413 and time
//! are split at once, 5xx after `max_attempts`. While nothing at all has been answered there are four parts, the site (or day) at
//! each end and the halves of the rest, and if all fail, up to four single sites and days: if these fail too, everybody shares the
//! error. So a vendor that fails everything costs at most eleven calls a report, retries among them, and up to three failing sites,
//! wherever they are, leave the others served. After that the smallest part that failed is asked for in ever smaller pieces side by
//! side (of 31 days: 16, 8, 4, 2 and 1), since a timeout takes long: one round finds the size that is answered. Once that is
//! learned, all that is missing is asked for in reports of this size. A report makes 32 calls at most, which count as one for the
//! circuit. What these did not suffice for fails, with the failure of the whole, and the next try begins with what was learned. The
//! search goes on behind its callers' deadline, for six timeouts, so that "try again soon" is true. A truncated answer leaves no
//! doubt: its search has no such bounds.

use std::cmp::Reverse;
use std::sync::Arc;

use super::error::{Blame, UpstreamError};
use super::limits::{self, Limits, is_minimal, size};
use crate::domain::batch::{self, Bounds};
use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::dates::{DateRange, add_days};

/// Parts of one report, asked for in rounds.
#[derive(Debug)]
pub(super) struct Search {
    whole: ReportRequest,
    error: Arc<UpstreamError>,
    blame: Blame,
    /// What failed and is to be asked for in smaller parts.
    rest: Vec<Failed>,
    /// What failed and is not asked for again.
    lost: Vec<Failed>,
    answered: Vec<ReportRequest>,
    /// What failed and may have been too large; if all of it is had in parts, it was.
    suspects: Vec<ReportRequest>,
    /// Whether the vendor is not to be asked any more.
    is_over: bool,
}

#[derive(Debug)]
struct Failed {
    request: ReportRequest,
    error: Arc<UpstreamError>,
    blame: Blame,
}

impl Search {
    /// The search in `whole`, which failed with `error`.
    pub(super) fn new(whole: ReportRequest, error: UpstreamError, blame: Blame) -> Self {
        let mut search = Self {
            whole: whole.clone(),
            error: Arc::new(error.clone()),
            blame,
            rest: Vec::new(),
            lost: Vec::new(),
            answered: Vec::new(),
            suspects: Vec::new(),
            is_over: false,
        };
        search.has_failed(whole, error, blame);
        search
    }

    /// Whether the vendor may have meant something else than the size, so that the search must not cost much.
    pub(super) fn is_bounded(&self) -> bool {
        self.blame == Blame::Anything || *self.error == UpstreamError::Status(413)
    }

    /// Whether smaller parts than those that failed may be answered, because they are smaller.
    pub(super) fn may_be_of_size(&self) -> bool {
        !self.is_over && self.rest.iter().any(|failed| failed.blame != Blame::Site)
    }

    /// What to ask for first. While nothing at all has been answered, that is four parts, two of them small: up to three sites may fail,
    /// wherever they are, and one part is still answered.
    pub(super) fn begin(&mut self, something_was_answered: bool) -> Vec<ReportRequest> {
        match self.rest.pop() {
            Some(failed) if something_was_answered => self.divided(&failed.request),
            Some(failed) => ends_and_halves(&failed.request),
            None => Vec::new(),
        }
    }

    /// Notes that the vendor answered `part`.
    pub(super) fn was_answered(&mut self, part: ReportRequest) {
        self.answered.push(part);
    }

    /// Notes that `part` failed.
    pub(super) fn has_failed(&mut self, part: ReportRequest, error: UpstreamError, blame: Blame) {
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
            error: Arc::new(error),
            blame,
        };
        if may_be_split {
            self.rest.push(failed);
        } else {
            self.lost.push(failed);
        }
    }

    /// What was answered.
    pub(super) fn answered(&self) -> &[ReportRequest] {
        &self.answered
    }

    /// What failed though all its parts were had since, the smallest first. Each is told once.
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

    /// What to ask for next; nothing where the search is at its end.
    pub(super) fn next(&mut self, limits: &Limits, now: jiff::Timestamp) -> Vec<ReportRequest> {
        if self.is_over || self.rest.is_empty() {
            return Vec::new();
        }
        if !self.rest.iter().any(|it| limits.admit(&it.request, now)) {
            // What has been learned is enough to ask for all of it.
            let rest = std::mem::take(&mut self.rest);
            let parts = limits.split(&self.whole, now).into_iter();
            return parts.flat_map(|part| missing(&rest, part)).collect();
        }
        // One after the other, the smallest first: what it teaches spares the others the same failures.
        self.rest
            .sort_by_key(|failed| Reverse(size(&failed.request)));
        let smallest = self.rest.pop();
        smallest.map_or_else(Vec::new, |failed| self.divided(&failed.request))
    }

    /// The parts that could not be had. A failure is that of the whole report, unless it can only be a part's own.
    pub(super) fn into_failures(self) -> Vec<(ReportRequest, Arc<UpstreamError>)> {
        let told = self.is_bounded().then_some(self.error);
        let failed = self.rest.into_iter().chain(self.lost);
        failed
            .map(|failed| (failed.request, told.clone().unwrap_or(failed.error)))
            .collect()
    }

    /// `request` in halves where about half as much was answered, else in ever smaller parts, which are asked for at the same time:
    /// where a failure takes long, one round finds the size that is answered.
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
        // The smallest first, should the calls not suffice for all.
        parts.sort_by_key(size);
        parts
    }
}

/// `request` in four parts, fewer where there are fewer sites: the site at each end, and the halves of the rest. Of a single site, its
/// days.
fn ends_and_halves(request: &ReportRequest) -> Vec<ReportRequest> {
    if request.sites.len() == 1 {
        return in_four(request.dates.len())
            .into_iter()
            .filter_map(|(from, to)| {
                let day = |at| add_days(request.dates.from(), i32::try_from(at).ok().unwrap_or(0));
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

/// The ranges of the first, the halves of those between, and the last of `len`: none of them empty.
fn in_four(len: usize) -> Vec<(usize, usize)> {
    let (first, last) = (1.min(len), len.saturating_sub(1).max(1));
    let middle = usize::midpoint(first, last);
    [(0, first), (first, middle), (middle, last), (last, len)]
        .into_iter()
        .filter(|(from, to)| from < to)
        .collect()
}

/// What `part` and the `failed` requests have in common, in few reports.
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
