//! How large a report may be: what is configured, and what the vendor's truncation has taught.

use std::sync::{Mutex, PoisonError};

use super::bound::Bound;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::{DateRange, add_days};

/// The bounds of one report.
#[derive(Debug)]
pub(super) struct Limits {
    max_sites: usize,
    max_days: usize,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    /// Of figures asked for.
    figures: Bound,
    /// Of days.
    days: Bound,
}

/// How many figures `request` asks for.
fn size(request: &ReportRequest) -> u64 {
    let sites_and_days = request.sites.len().saturating_mul(request.dates.len());
    day_size(request).saturating_mul(u64::try_from(sites_and_days).unwrap_or(u64::MAX))
}

/// How many days `request` asks for.
fn days(request: &ReportRequest) -> u64 {
    u64::try_from(request.dates.len()).unwrap_or(u64::MAX)
}

/// How many figures one of its sites has on one of its days: at least 1.
fn day_size(request: &ReportRequest) -> u64 {
    let metrics = u64::try_from(request.metrics.len()).unwrap_or(u64::MAX);
    metrics
        .saturating_mul(u64::from(request.bucket.slots_per_day()))
        .max(1)
}

/// How many sites' days `figures` are enough for.
fn affordable(request: &ReportRequest, figures: u64) -> usize {
    usize::try_from(figures / day_size(request)).unwrap_or(usize::MAX)
}

impl Limits {
    /// Bounds of at most `max_sites` and `max_days`, and no more learned yet.
    pub(super) fn new(max_sites: usize, max_days: usize) -> Self {
        Self {
            max_sites: max_sites.max(1),
            max_days: max_days.max(1),
            learned: Mutex::default(),
        }
    }

    /// The parts of `request` that are within the bounds: sites are split first, then days.
    ///
    /// Now and then one of them is a little larger than a learned bound, to find out whether that still holds.
    pub(super) fn split(&self, request: &ReportRequest) -> Vec<ReportRequest> {
        let mut learned = self.lock();
        let (figures, most_days) = (learned.figures.size(), learned.days.size());
        let within = |request: &ReportRequest| self.within(request, figures, most_days);
        let parts = within(request);
        if parts.len() < 2 {
            return parts;
        }
        let trial = learned.figures.due(day_size(request));
        let trial = trial.map(|further| self.largest_within(request, further, most_days));
        let trial = trial.filter(|trial| learned.figures.begins(size(trial)));
        let trial = trial.or_else(|| {
            let further = learned.days.due(1)?;
            let trial = self.longest_within(request, figures, further);
            learned.days.begins(days(&trial)).then_some(trial)
        });
        drop(learned);
        let Some(trial) = trial else { return parts };
        let others: Vec<_> = request
            .sites
            .iter()
            .filter(|site| !trial.sites.contains(site))
            .copied()
            .collect();
        let later = DateRange::new(add_days(trial.dates.to(), 1), request.dates.to());
        let later = later.map(|dates| trial.with_dates(dates));
        let others = (!others.is_empty()).then(|| request.with_sites(others));
        let rest = [later, others].into_iter().flatten();
        let rest = rest.flat_map(|rest| within(&rest));
        rest.chain([trial]).collect()
    }

    /// The parts of `request` that are within the configured bounds, and ask for `figures` and `days` at most.
    fn within(&self, request: &ReportRequest, figures: u64, days: u64) -> Vec<ReportRequest> {
        let affordable = affordable(request, figures);
        let days = affordable.min(self.most_days(days)).max(1);
        let mut parts = Vec::new();
        for dates in request.dates.split(days) {
            let sites = (affordable / dates.len()).clamp(1, self.max_sites);
            for sites in even_chunks(&request.sites, sites) {
                parts.push(request.with_dates(dates).with_sites(sites));
            }
        }
        parts
    }

    fn most_days(&self, learned: u64) -> usize {
        usize::try_from(learned).map_or(self.max_days, |days| days.min(self.max_days))
    }

    /// The first sites and days of `request`, as many as `figures` and `days` allow. Parts are even, and so may all be smaller than a
    /// bound; a trial must not be.
    fn largest_within(&self, request: &ReportRequest, figures: u64, days: u64) -> ReportRequest {
        let most_sites = request.sites.len().min(self.max_sites);
        let per_site = affordable(request, figures) / most_sites;
        let days_per_site = u64::try_from(per_site).unwrap_or(u64::MAX).max(1);
        let wide = self.longest_within(request, figures, days_per_site.min(days));
        let long = self.longest_within(request, figures, days);
        if size(&long) > size(&wide) {
            long
        } else {
            wide
        }
    }

    /// The first days of `request`, as many as `figures` and `days` allow, at as many of its sites as are then left to have.
    fn longest_within(&self, request: &ReportRequest, figures: u64, days: u64) -> ReportRequest {
        let affordable = affordable(request, figures);
        let most_days = request.dates.len().min(self.most_days(days));
        let days = affordable.min(most_days).max(1);
        let most_sites = request.sites.len().min(self.max_sites);
        let sites = (affordable / days).clamp(1, most_sites);
        let from = request.dates.from();
        let to = add_days(from, i32::try_from(days - 1).unwrap_or(i32::MAX));
        request
            .with_dates(DateRange::new(from, to).unwrap_or(request.dates))
            .with_sites(request.sites[..sites].to_vec())
    }

    /// Whether `request` may be asked for as it is: what was split off waits for its turn, and the bound may have been lowered meanwhile.
    pub(super) fn admit(&self, request: &ReportRequest) -> bool {
        let learned = self.lock();
        (learned.figures.admits(size(request)) && learned.days.admits(days(request)))
            || Self::halves(request).is_none()
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

    /// Learns that the vendor could not answer `request` whole, though it answered each half.
    ///
    /// Where a single site has too many days, days are taken to be what counts, and what was learned of figures is forgotten: if it
    /// is figures after all, the next reports tell.
    pub(super) fn was_too_large(&self, request: &ReportRequest) {
        let (size, days) = (size(request), days(request));
        let mut learned = self.lock();
        let Learned {
            figures,
            days: most_days,
        } = &mut *learned;
        figures.was_too_large(size);
        most_days.was_too_large(days);
        if size > figures.size() || days > most_days.size() {
            // Asked before a bound was lowered, or to try it: it teaches nothing new.
            return;
        }
        if request.sites.len() == 1 && days > 1 {
            most_days.lower(days.div_ceil(2));
            figures.forget();
        } else {
            figures.lower((size / 2).max(day_size(request)));
        }
        tracing::info!(
            figures = size,
            days,
            bound = figures.learned(),
            bound_days = most_days.learned(),
            "the vendor could not answer a report of this size; later ones stay below"
        );
    }

    /// Learns nothing of a report that failed: its size may not have been why. If it was a trial, another may follow.
    pub(super) fn was_of_no_size(&self, request: &ReportRequest) {
        let mut learned = self.lock();
        learned.figures.end_trial(size(request));
        learned.days.end_trial(days(request));
    }

    /// Learns that the vendor answered `request` whole.
    pub(super) fn was_answered(&self, request: &ReportRequest) {
        let mut learned = self.lock();
        learned.figures.was_answered(size(request));
        learned.days.was_answered(days(request));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Learned> {
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
    use crate::domain::metric::{MetricSet, VendorMetric};
    use crate::domain::site::{CustomerId, SiteId};
    use crate::upstream::bound::PATIENCE;

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
            too_large in prop::collection::vec((1..60_u64, 1..40_i32), 0..5), near in prop::sample::select(vec![0, PATIENCE]),
        ) {
            let limits = Limits::new(max_sites, max_days);
            for (sites, days) in too_large {
                limits.was_too_large(&request(sites, days));
            }
            {
                let Learned { figures, days } = &mut *limits.lock();
                for bound in [figures, days] {
                    (0..near).for_each(|_| bound.was_answered(bound.size()));
                }
            }
            let bound = limits.lock().figures.size();
            let most_days = limits.lock().days.size();
            let whole = request(sites, days);

            let parts = limits.split(&whole);

            let cells: Vec<_> = parts.iter().flat_map(ReportRequest::cells).collect();
            let distinct: BTreeSet<_> = cells.iter().copied().collect();
            prop_assert_eq!(cells.len(), distinct.len());
            prop_assert_eq!(distinct, whole.cells().collect());
            for part in &parts {
                prop_assert!(part.sites.len() <= max_sites && part.dates.len() <= max_days);
                prop_assert!(part.sites.is_sorted());
            }
            let larger = parts.iter().filter(|part| size(part) > bound.max(day_size(part)) || super::days(part) > most_days);
            prop_assert!(larger.count() <= usize::from(near > 0));
        }

        #[test]
        fn later_requests_stay_below_what_the_vendor_could_not_answer(vendor in 1..2000_u64, asked in prop::collection::vec((1..60_u64, 1..32_i32), 1..40)) {
            let limits = Limits::new(50, 31);
            let truncates = |request: &ReportRequest| size(request) > vendor * 24;
            let mut refused = 0;

            for (sites, days) in asked {
                let mut todo = vec![request(sites, days)];
                while let Some(whole) = todo.pop() {
                    for part in limits.split(&whole) {
                        if !limits.admit(&part) {
                            todo.push(part);
                        } else if truncates(&part) {
                            limits.was_too_large(&part);
                            refused += 1;
                            todo.extend(Limits::halves(&part).into_iter().flatten());
                        } else {
                            limits.was_answered(&part);
                        }
                    }
                }
            }

            prop_assert!(refused <= 120, "{} refused", refused);
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
    fn after_many_answers_near_the_bound_one_report_tries_to_go_beyond() {
        let limits = Limits::new(50, 31);
        limits.was_too_large(&request(40, 1));
        let sizes = || -> Vec<u64> {
            let parts = limits.split(&request(41, 1));
            parts.iter().map(|part| size(part) / 24).collect()
        };
        let answers = |count: u32| (0..count).for_each(|_| limits.was_answered(&request(20, 1)));
        assert_eq!(sizes(), [14, 14, 13]);

        answers(PATIENCE);
        assert_eq!(sizes(), [16, 25], "a trial of 25 sites");
        limits.was_too_large(&request(25, 1));
        answers(PATIENCE);
        assert_eq!(sizes(), [14, 14, 13], "more patient after a failure");
        answers(PATIENCE);
        assert_eq!(sizes(), [16, 25]);
        limits.was_answered(&request(25, 1));

        assert_eq!(limits.lock().figures.learned(), Some(25 * 24));
        assert_eq!(sizes(), [4, 37], "the next goes further, at once");
    }
    #[test]
    fn a_limit_on_days_is_learned_and_grows_again_as_one_on_figures_does() {
        let limits = Limits::new(50, 31);
        limits.was_too_large(&request(1, 31));
        limits.was_too_large(&request(3, 31));
        let shapes = || -> Vec<(usize, usize)> {
            let parts = limits.split(&request(50, 31)).into_iter();
            parts.map(|it| (it.sites.len(), it.dates.len())).collect()
        };
        assert_eq!(shapes(), [(50, 16), (50, 15)]);

        (0..PATIENCE).for_each(|_| limits.was_answered(&request(50, 15)));
        assert_eq!(shapes(), [(50, 11), (50, 20)], "a trial of 20 days");
        limits.was_answered(&request(50, 20));

        assert_eq!(shapes(), [(50, 1), (50, 30)]);
    }
}
