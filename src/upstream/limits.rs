//! How large a report may be: what is configured, and what the vendor's truncation has taught.

use std::sync::{Mutex, PoisonError};

use crate::domain::cell::ReportRequest;

/// Answers near the learned bound before it is tried a little further.
const PATIENCE: u32 = 20;

/// The bounds of one report; sizes are in figures asked for.
#[derive(Debug)]
pub(super) struct Limits {
    max_sites: usize,
    max_days: usize,
    learned: Mutex<Bound>,
}

#[derive(Debug, Default)]
struct Bound {
    /// Nothing larger is asked for.
    size: Option<u64>,
    /// The largest size answered since the bound was last lowered.
    answered: u64,
    /// Answers near the bound since it was last moved.
    near: u32,
}

/// How many figures `request` asks for.
fn size(request: &ReportRequest) -> u64 {
    let sites_and_days = request.sites.len().saturating_mul(request.dates.len());
    day_size(request).saturating_mul(u64::try_from(sites_and_days).unwrap_or(u64::MAX))
}

/// How many figures one of its sites has on one of its days: at least 1.
fn day_size(request: &ReportRequest) -> u64 {
    let metrics = u64::try_from(request.metrics.len()).unwrap_or(u64::MAX);
    metrics
        .saturating_mul(u64::from(request.bucket.slots_per_day()))
        .max(1)
}

impl Limits {
    /// Bounds of at most `max_sites` and `max_days`, and no more learned yet.
    pub(super) fn new(max_sites: usize, max_days: usize) -> Self {
        Self {
            max_sites: max_sites.max(1),
            max_days: max_days.max(1),
            learned: Mutex::new(Bound::default()),
        }
    }

    /// The parts of `request` that are within the bounds: sites are split first, then days.
    pub(super) fn split(&self, request: &ReportRequest) -> Vec<ReportRequest> {
        let bound = self.lock().size;
        request
            .dates
            .split(self.max_days)
            .into_iter()
            .flat_map(|dates| {
                let affordable = bound.map_or(usize::MAX, |bound| {
                    usize::try_from(bound / day_size(request))
                        .unwrap_or(usize::MAX)
                        .max(1)
                });
                let sites = (affordable / dates.len()).clamp(1, self.max_sites);
                let days = if dates.len() > affordable {
                    dates.split(affordable)
                } else {
                    vec![dates]
                };
                let chunks = even_chunks(&request.sites, sites);
                days.into_iter().flat_map(move |dates| {
                    let parts = chunks.clone().into_iter();
                    parts.map(move |sites| request.with_dates(dates).with_sites(sites))
                })
            })
            .collect()
    }

    /// The two halves of a request that was too large: by sites, else by days; `None` for a single site and day.
    pub(super) fn halves(request: &ReportRequest) -> Option<[ReportRequest; 2]> {
        if request.sites.len() > 1 {
            let (left, right) = request.sites.split_at(request.sites.len() / 2);
            return Some([left, right].map(|sites| request.with_sites(sites.to_vec())));
        }
        let days = request.dates.split(request.dates.len().div_ceil(2));
        match *days.as_slice() {
            [first, second] => Some([first, second].map(|dates| request.with_dates(dates))),
            _ => None,
        }
    }

    /// Learns that the vendor could not answer `request` whole.
    pub(super) fn was_too_large(&self, request: &ReportRequest) {
        let size = size(request);
        let mut bound = self.lock();
        if bound.size.is_some_and(|bound| bound < size) {
            // Asked before the bound was lowered: it teaches nothing new.
            return;
        }
        // Half is what is asked next; more where that was answered lately, as after a careful step too far.
        let answered = if bound.answered < size {
            bound.answered
        } else {
            0
        };
        let lowered = answered.max(size / 2).max(day_size(request));
        *bound = Bound {
            size: Some(lowered),
            answered,
            near: 0,
        };
        tracing::info!(
            figures = size,
            bound = lowered,
            "the vendor could not answer a report of this size; later ones stay below"
        );
    }

    /// Learns that the vendor answered `request` whole.
    pub(super) fn was_answered(&self, request: &ReportRequest) {
        let size = size(request);
        let mut bound = self.lock();
        bound.answered = bound.answered.max(size);
        let Some(limit) = bound.size else { return };
        if size > limit / 2 {
            bound.near += 1;
        }
        if bound.near >= PATIENCE {
            bound.near = 0;
            bound.size = Some(limit.saturating_add((limit / 8).max(day_size(request))));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bound> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Consecutive parts of about equal length, `max` at most.
fn even_chunks<T: Copy>(all: &[T], max: usize) -> Vec<Vec<T>> {
    let parts = all.len().div_ceil(max).max(1);
    let (size, longer) = (all.len() / parts, all.len() % parts);
    let mut rest = all;
    (0..parts)
        .map(|part| {
            let (chunk, left) = rest.split_at(size + usize::from(part < longer));
            rest = left;
            chunk.to_vec()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::bucket::VendorBucket;
    use crate::domain::dates::{DateRange, add_days};
    use crate::domain::metric::{MetricSet, VendorMetric};
    use crate::domain::site::{CustomerId, SiteId};

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

    proptest! {
        #[test]
        fn the_parts_cover_the_request_once_and_stay_within_the_bounds(
            sites in 1..130_u64, days in 1..70_i32, max_sites in 1..60_usize, max_days in 1..40_usize,
            too_large in prop::collection::vec((1..60_u64, 1..40_i32), 0..5),
        ) {
            let limits = Limits::new(max_sites, max_days);
            for (sites, days) in too_large {
                limits.was_too_large(&request(sites, days));
            }
            let bound = limits.lock().size.unwrap_or(u64::MAX);
            let whole = request(sites, days);

            let parts = limits.split(&whole);

            let cells: Vec<_> = parts.iter().flat_map(ReportRequest::cells).collect();
            let distinct: BTreeSet<_> = cells.iter().copied().collect();
            prop_assert_eq!(cells.len(), distinct.len());
            prop_assert_eq!(distinct, whole.cells().collect());
            for part in &parts {
                prop_assert!(part.sites.len() <= max_sites && part.dates.len() <= max_days);
                prop_assert!(size(part) <= bound.max(day_size(part)));
                prop_assert!(part.sites.is_sorted());
            }
        }

        #[test]
        fn later_requests_stay_below_what_the_vendor_could_not_answer(vendor in 1..2000_u64, asked in prop::collection::vec((1..60_u64, 1..32_i32), 1..40)) {
            let limits = Limits::new(50, 31);
            let truncates = |request: &ReportRequest| size(request) > vendor * 24;
            let mut refused = 0;

            for (sites, days) in asked {
                let mut todo = limits.split(&request(sites, days));
                while let Some(part) = todo.pop() {
                    if truncates(&part) {
                        limits.was_too_large(&part);
                        refused += 1;
                        todo.extend(Limits::halves(&part).into_iter().flatten());
                    } else {
                        limits.was_answered(&part);
                    }
                }
            }

            prop_assert!(refused <= 60, "{} refused", refused);
        }
    }

    #[test]
    fn forty_sites_and_a_month_are_one_report() {
        assert_eq!(Limits::new(50, 31).split(&request(40, 31)).len(), 1);
    }

    #[test]
    fn a_single_site_and_day_has_no_halves() {
        assert_eq!(Limits::halves(&request(1, 1)), None);
        let [left, right] = Limits::halves(&request(3, 2)).unwrap();
        assert_eq!((left.sites.len(), right.sites.len()), (1, 2));
        let [left, right] = Limits::halves(&request(1, 3)).unwrap();
        assert_eq!((left.dates.len(), right.dates.len()), (2, 1));
    }

    #[test]
    fn the_bound_grows_again_after_many_answers_near_it() {
        let limits = Limits::new(50, 31);
        limits.was_too_large(&request(40, 1));
        assert_eq!(limits.lock().size, Some(20 * 24));

        for _ in 0..PATIENCE {
            limits.was_answered(&request(20, 1));
        }
        let grown = limits.lock().size;
        limits.was_too_large(&request(22, 1));

        assert_eq!(grown, Some(22 * 24 + 12));
        assert_eq!(
            limits.lock().size,
            Some(20 * 24),
            "back to what was answered"
        );
    }
}
