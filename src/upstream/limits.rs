//! How large a report may be: the configured bounds, and bounds learned from the vendor's refusals.
//!
//! If a report fails, possibly because of its size, and the vendor then answers all its parts, the report was too large. Later
//! reports stay at the size of the largest part answered. A report with a site that always fails teaches nothing about sizes.
//!
//! There are three learned bounds: figures, sites and days. If a report of a single site has too many days, the vendor presumably
//! counts days; if a report of a single day has too many sites, it presumably counts sites. Either case resets the bound on figures,
//! which later reports lower again if the vendor counts figures after all. Each bound doubles after an hour, since the vendor may
//! accept larger reports again.

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::domain::batch::Bounds;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;

/// Time for which a learned bound holds before it doubles.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);

/// The bounds of one report.
#[derive(Debug)]
pub(super) struct Limits {
    bounds: Bounds,
    learned: Mutex<Learned>,
}

/// The learned bounds. The vendor does not say what it counts, so each measure has a bound of its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    figures: Bound,
    sites: Bound,
    days: Bound,
    /// Number of changes.
    #[serde(skip)]
    revision: u64,
}

/// A learned bound of one measure.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    size: u64,
    since: Timestamp,
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            size: u64::MAX,
            since: Timestamp::UNIX_EPOCH,
        }
    }
}

impl Bound {
    /// Doubles the bound if it has held for an hour; returns whether that changes it.
    fn grow(&mut self, now: Timestamp) -> bool {
        // If the clock was set back, the wait starts over.
        self.since = self.since.min(now);
        let before = self.size;
        if now.duration_since(self.since) >= PATIENCE {
            (self.size, self.since) = (before.saturating_mul(2), now);
        }
        self.size != before
    }
}

impl Learned {
    /// Whether `request` is within the learned bounds.
    fn admits(&self, request: &ReportRequest) -> bool {
        size(request) <= self.figures.size
            && sites(request) <= self.sites.size
            && days(request) <= self.days.size
    }

    const fn bounds(&mut self) -> [&mut Bound; 3] {
        [&mut self.figures, &mut self.sites, &mut self.days]
    }
}

/// Number of figures in `request`.
pub(super) fn size(request: &ReportRequest) -> u64 {
    day_size(request)
        .saturating_mul(sites(request))
        .saturating_mul(days(request))
}

fn sites(request: &ReportRequest) -> u64 {
    request.sites.len() as u64
}

fn days(request: &ReportRequest) -> u64 {
    request.dates.len() as u64
}

/// Number of figures of one site on one day, at least 1.
fn day_size(request: &ReportRequest) -> u64 {
    (request.metrics.len() as u64)
        .saturating_mul(u64::from(request.bucket.slots_per_day()))
        .max(1)
}

/// Whether `request` is for a single site and day.
pub(super) fn is_minimal(request: &ReportRequest) -> bool {
    request.sites.len() == 1 && request.dates.len() == 1
}

impl Limits {
    /// The configured bounds, with nothing learned yet.
    pub(super) fn new(max_sites: usize, max_days: usize) -> Self {
        Self {
            bounds: Bounds {
                max_sites: max_sites.max(1),
                max_days: max_days.max(1),
            },
            learned: Mutex::default(),
        }
    }

    /// The configured bounds.
    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Splits `request` into parts within the bounds: first by sites, then by days.
    pub(super) fn split(&self, request: &ReportRequest, now: Timestamp) -> Vec<ReportRequest> {
        let learned = self.lock(now);
        let at_most = |learned: u64, most: usize| {
            usize::try_from(learned).map_or(most, |learned| learned.clamp(1, most))
        };
        let figures = learned.figures.size / day_size(request);
        let affordable = usize::try_from(figures).unwrap_or(usize::MAX).max(1);
        let most_days = at_most(learned.days.size, self.bounds.max_days).min(affordable);
        let most_sites = at_most(learned.sites.size, self.bounds.max_sites);
        drop(learned);
        let mut parts = Vec::new();
        for dates in request.dates.split(most_days) {
            let sites = (affordable / dates.len()).clamp(1, most_sites);
            for sites in even_chunks(&request.sites, sites) {
                parts.push(request.with_dates(dates).with_sites(sites));
            }
        }
        parts
    }

    /// Whether `request` is within the learned bounds. A part waits for its turn, and a bound may have been lowered meanwhile.
    pub(super) fn admit(&self, request: &ReportRequest, now: Timestamp) -> bool {
        is_minimal(request) || self.lock(now).admits(request)
    }

    /// Learns that the vendor could not answer `request` as a whole, though it answered all its parts, including `answered`.
    pub(super) fn was_too_large(
        &self,
        request: &ReportRequest,
        answered: &[ReportRequest],
        now: Timestamp,
    ) {
        let mut learned = self.lock(now);
        if !learned.admits(request) {
            // The report began before a bound was lowered, so it teaches nothing new.
            return;
        }
        // The largest size answered that is below the refused one; otherwise half the refused size.
        let below = |measure: fn(&ReportRequest) -> u64| {
            let refused = measure(request);
            let answered = answered.iter().map(measure).filter(|it| *it < refused);
            answered.max().unwrap_or(refused / 2).max(1)
        };
        let (bound, size) = if request.sites.len() == 1 {
            (&mut learned.days, below(days))
        } else if request.dates.len() == 1 {
            (&mut learned.sites, below(sites))
        } else {
            (&mut learned.figures, below(size))
        };
        *bound = Bound { size, since: now };
        learned.revision += 1;
        if request.sites.len() == 1 || request.dates.len() == 1 {
            learned.figures.size = u64::MAX;
        }
        tracing::info!(
            sites = request.sites.len(),
            days = request.dates.len(),
            bound_figures = learned.figures.size,
            bound_sites = learned.sites.size,
            bound_days = learned.days.size,
            "the vendor could not answer a report of this size: later ones will be smaller"
        );
    }

    fn lock(&self, now: Timestamp) -> MutexGuard<'_, Learned> {
        let mut learned = self.learned.lock();
        if learned
            .bounds()
            .map(|bound| bound.grow(now))
            .contains(&true)
        {
            learned.revision += 1;
        }
        learned
    }

    /// The revision of the learned bounds, which changes whenever one of them does, and the bounds in a form that outlives the process,
    /// for [`restore`](Self::restore); `None` if their revision is the one `known`.
    pub(super) fn kept(&self, known: Option<u64>) -> Option<(u64, Vec<u8>)> {
        let learned = self.learned.lock();
        let kept = || serde_json::to_vec(&*learned).expect("numbers and times can be written");
        (known != Some(learned.revision)).then(|| (learned.revision, kept()))
    }

    /// Takes over the bounds that another process has learned, where they are tighter. Returns false if it cannot read `kept`.
    pub(super) fn restore(&self, kept: &[u8]) -> bool {
        let Ok(mut kept) = serde_json::from_slice::<Learned>(kept) else {
            return false;
        };
        let mut learned = self.learned.lock();
        let mut is_changed = false;
        for (own, theirs) in learned.bounds().into_iter().zip(kept.bounds()) {
            if theirs.size < own.size {
                own.clone_from(theirs);
                is_changed = true;
            }
        }
        learned.revision += u64::from(is_changed);
        true
    }
}

/// The two halves of a report: split by sites if there are several, otherwise by days. `None` for a single site and day.
pub(super) fn halves(request: &ReportRequest) -> Option<[ReportRequest; 2]> {
    let [first, second] = if request.sites.len() > 1 {
        let (left, right) = request.sites.split_at(request.sites.len() / 2);
        [left, right].map(|sites| request.with_sites(sites.to_vec()))
    } else {
        let days = request.dates.split(request.dates.len().div_ceil(2));
        let [first, second]: [DateRange; 2] = days.try_into().ok()?;
        [first, second].map(|dates| request.with_dates(dates))
    };
    Some([first, second])
}

/// Consecutive parts of about equal length, at most `max` each.
fn even_chunks<T: Copy>(all: &[T], max: usize) -> Vec<Vec<T>> {
    let parts = all.len().div_ceil(max).max(1);
    let start = |part: usize| (all.len() * part).div_ceil(parts);
    (0..parts)
        .map(|part| all[start(part)..start(part + 1)].to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::bucket::VendorBucket;
    use crate::domain::dates::add_days;
    use crate::domain::metric::{MetricSet, VendorMetric};
    use crate::domain::site::{CustomerId, SiteId};

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn request(sites: u64, days: i32) -> ReportRequest {
        let from = date(2026, 1, 1);
        ReportRequest {
            customer: CustomerId::new(1).unwrap(),
            sites: (1..=sites).map(|id| SiteId::new(id).unwrap()).collect(),
            dates: DateRange::new(from, add_days(from, days - 1)).unwrap(),
            metrics: MetricSet::default().with(VendorMetric::Entrances),
            bucket: VendorBucket::HOUR,
        }
    }

    fn hours(hours: i64) -> Timestamp {
        NOW + SignedDuration::from_hours(hours)
    }

    proptest! {
        #[test]
        fn the_parts_cover_the_request_once_and_stay_within_the_bounds(
            sites in 1..130_u64, days in 1..70_i32, max_sites in 1..60_usize, max_days in 1..40_usize,
            too_large in prop::collection::vec((1..60_u64, 1..40_i32), 0..5),
        ) {
            let limits = Limits::new(max_sites, max_days);
            for (sites, days) in too_large {
                limits.was_too_large(&request(sites, days), &[], NOW);
            }
            let whole = request(sites, days);

            let parts = limits.split(&whole, NOW);

            let cells: Vec<_> = parts.iter().flat_map(ReportRequest::cells).collect();
            let distinct: BTreeSet<_> = cells.iter().copied().collect();
            prop_assert_eq!(cells.len(), distinct.len());
            prop_assert_eq!(distinct, whole.cells().collect());
            for part in &parts {
                prop_assert!(part.sites.len() <= max_sites && part.dates.len() <= max_days);
                prop_assert!(part.sites.is_sorted());
                prop_assert!(limits.admit(part, NOW));
            }
        }
    }

    #[test]
    fn forty_sites_and_a_month_are_one_report() {
        assert_eq!(Limits::new(50, 31).split(&request(40, 31), NOW).len(), 1);
    }

    #[test]
    fn a_single_site_and_day_has_no_halves() {
        assert_eq!(halves(&request(1, 1)), None);
        let [left, right] = halves(&request(3, 2)).unwrap();
        assert_eq!((left.sites.len(), right.sites.len()), (1, 2));
        let [left, right] = halves(&request(1, 3)).unwrap();
        assert_eq!((left.dates.len(), right.dates.len()), (2, 1));
    }

    #[test]
    fn what_is_learned_is_the_most_that_was_answered_below_what_was_not() {
        for (refused, answered, asked, parts) in [
            (
                (1, 31),
                Some((1, 7)),
                (50, 31),
                vec![(50, 7), (50, 6), (50, 6), (50, 6), (50, 6)],
            ),
            ((12, 1), Some((9, 1)), (18, 31), vec![(9, 31), (9, 31)]),
            ((8, 31), Some((5, 31)), (10, 31), vec![(5, 31), (5, 31)]),
            ((8, 31), None, (8, 31), vec![(4, 31), (4, 31)]),
        ] {
            let limits = Limits::new(50, 31);

            let answered: Vec<_> = answered
                .into_iter()
                .map(|(sites, days)| request(sites, days))
                .collect();
            limits.was_too_large(&request(refused.0, refused.1), &answered, NOW);

            let split = limits.split(&request(asked.0, asked.1), NOW);
            let shapes: Vec<_> = split
                .iter()
                .map(|it| (it.sites.len(), it.dates.len()))
                .collect();
            assert_eq!(shapes, parts, "{refused:?}");
        }
    }

    #[test]
    fn a_learned_bound_doubles_by_the_hour() {
        let limits = Limits::new(50, 31);
        let longest = |at| limits.split(&request(1, 31), hours(at))[0].dates.len();
        let refuse = |days, answered, at| {
            limits.was_too_large(&request(1, days), &[request(1, answered)], hours(at));
        };
        refuse(31, 7, 0);
        assert_eq!((longest(0), longest(1)), (7, 11), "three of at most 14");

        refuse(11, 7, 1);
        assert_eq!((longest(1), longest(2)), (7, 11));
        assert_eq!((longest(3), longest(4)), (16, 31), "two of at most 28");
    }

    #[test]
    fn what_was_learned_comes_back_where_nothing_tighter_is_known() {
        let longest = |limits: &Limits, at| limits.split(&request(1, 31), hours(at))[0].dates.len();
        let limits = Limits::new(50, 31);
        limits.was_too_large(&request(1, 31), &[request(1, 7)], NOW);
        let (_, kept) = limits.kept(None).unwrap();

        let again = Limits::new(50, 31);
        assert!(again.restore(&kept));
        assert_eq!((longest(&again, 0), longest(&again, 1)), (7, 11));
        let newer = Limits::new(50, 31);
        newer.was_too_large(&request(1, 31), &[request(1, 5)], NOW);
        assert!(newer.restore(&kept));
        assert_eq!(longest(&newer, 0), 5);
        // Replicas learn from each other, in either order.
        let (revision, kept_by_newer) = newer.kept(None).unwrap();
        assert!(newer.restore(&kept));
        assert_eq!(newer.kept(Some(revision)), None, "nothing was new");
        assert!(limits.restore(&kept_by_newer));
        assert_eq!(longest(&limits, 0), 5);
        assert!(!Limits::new(50, 31).restore(b"{}"));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_shortens_nor_stretches_the_wait() {
        let limits = Limits::new(50, 31);
        limits.was_too_large(&request(1, 31), &[request(1, 10)], hours(100));

        let longest = |at| limits.split(&request(1, 31), hours(at))[0].dates.len();

        assert_eq!((longest(0), longest(1)), (8, 16));
    }
}
