//! Turns the figures of a site's entities into that site's cells.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::merge::SiteFigures;
use super::wire::{Identity, ReportShape, Values};
use crate::domain::cell::{Cell, CellKey};
use crate::domain::figures::Figures;
use crate::domain::local_day::DaySpan;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;

/// How far the vendor's clock may be ahead of ours.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The times of an answer's figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Our time before the call.
    pub(super) fetched_at: Timestamp,
    /// The vendor's own time.
    pub(super) computed_at: Option<Timestamp>,
}

impl Times {
    /// Accepts the vendor's `computed_at` (Unix seconds) if it is plausible: after 1970, and not in our future.
    pub(super) fn new(fetched_at: Timestamp, computed_at: Option<f64>) -> Self {
        let computed_at = computed_at
            .filter(|seconds| *seconds > 0.0)
            .and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
            .and_then(|since| Timestamp::from_duration(since).ok())
            .filter(|at| at.duration_since(fetched_at) <= CLOCK_SKEW);
        Self {
            fetched_at,
            computed_at,
        }
    }
}

/// Returns the cells of `site`, which owns all of `identities`: one for each requested metric and date.
pub(super) fn of_site<'a>(
    shape: &'a ReportShape,
    site: SiteId,
    identities: &[&Identity],
    times: Times,
) -> impl Iterator<Item = (CellKey, Cell)> + use<'a> {
    let request = shape.request();
    let figures = SiteFigures::of(shape, site, identities);
    (0..request.dates.len()).flat_map(move |index| {
        let date = shape.date(index);
        let day = Day {
            shape,
            site,
            date,
            index,
            fetched_at: times.fetched_at,
            over: DaySpan::of(date, None).ends <= times.fetched_at,
        };
        let cells: Vec<_> = request
            .metrics
            .iter()
            .map(|metric| {
                let key = CellKey {
                    customer: request.customer,
                    site,
                    metric,
                    bucket: request.bucket,
                    date,
                };
                let figures = day.figures(figures.day(index), metric);
                (key, Cell::new(figures, times.fetched_at, times.computed_at))
            })
            .collect();
        cells
    })
}

/// One day of one site.
struct Day<'a> {
    shape: &'a ReportShape,
    site: SiteId,
    date: Date,
    index: usize,
    fetched_at: Timestamp,
    /// Whether the day is over in every timezone.
    over: bool,
}

impl Day<'_> {
    fn figures(&self, of_slots: Option<&[Values]>, metric: VendorMetric) -> Figures {
        let second = self.shape.change(self.site, self.index).repeated.clone();
        let slots = self.shape.slots();
        let Some(of_slots) = of_slots else {
            let slots = u16::try_from(slots + second.len());
            return Figures::none(slots.expect("a day has at most 576 slots"));
        };
        let starts = (0..slots).map(|slot| (slot, false));
        let starts = starts.chain(second.map(|slot| (slot, true)));
        let values: Vec<_> = starts
            .zip(of_slots)
            .map(|((slot, second), values)| {
                let value = Some(values[metric as usize]).filter(|value| !value.is_nan())?;
                // A zero for a future time is not an observation.
                (value > 0.0 || self.over || self.has_begun(slot, second)).then_some(value)
            })
            .collect();
        Figures::pack(&values)
    }

    fn has_begun(&self, slot: usize, second: bool) -> bool {
        let start = self.shape.start(self.date, slot);
        let Some(zone) = self.shape.zone(self.site) else {
            return start <= latest_clock_on_earth(self.fetched_at);
        };
        let at = if second {
            let again = start.max(self.shape.change(self.site, self.index).back_to);
            zone.to_ambiguous_timestamp(again).later()
        } else {
            zone.to_ambiguous_timestamp(start).earlier()
        };
        at.is_ok_and(|at| at <= self.fetched_at)
    }
}

/// The local time in the easternmost timezone: UTC+14.
fn latest_clock_on_earth(now: Timestamp) -> DateTime {
    jiff::tz::Offset::constant(14).to_datetime(now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::bucket::VendorBucket;
    use crate::domain::cell::ReportRequest;
    use crate::domain::dates::DateRange;
    use crate::domain::directory::SiteDirectory;
    use crate::domain::metric::MetricSet;
    use crate::domain::site::CustomerId;
    use crate::upstream::wire;

    fn cells(zone: Option<&str>, day: Date, now: &str, rows: &[(&str, u32)]) -> Vec<Option<f64>> {
        let site = SiteId::new(750).unwrap();
        let shape = Arc::new(ReportShape::new(
            &ReportRequest {
                customer: CustomerId::new(1).unwrap(),
                sites: vec![site],
                dates: DateRange::day(day).unwrap(),
                metrics: MetricSet::default().with(VendorMetric::Entrances),
                bucket: VendorBucket::HOUR,
            },
            &SiteDirectory::new(zone.map(|name| TimeZone::get(name).unwrap())),
        ));
        let rows: Vec<_> = rows
            .iter()
            .map(|(hour, count)| format!(r#"{{"time":"{day} {hour}:00:00","entrances":{count}}}"#))
            .collect();
        let body = format!(
            r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{}],"status":"success"}}}}}}"#,
            rows.join(",")
        );
        let answer = wire::parse(body.as_bytes(), &shape).unwrap();
        let identities: Vec<_> = answer.identities.iter().collect();
        let times = Times::new(now.parse().unwrap(), None);

        let mut cells = of_site(&shape, site, &identities, times);

        let (key, cell) = cells.next().unwrap();
        assert_eq!((key.site, key.date), (site, day));
        assert!(cells.next().is_none());
        cell.figures().iter().collect()
    }

    #[test]
    fn a_zero_for_a_future_time_is_no_figure() {
        let rows = [("08", 0), ("09", 0), ("10", 0), ("11", 3)];

        let known = cells(
            Some("America/Chicago"),
            date(2026, 2, 18),
            "2026-02-18T15:30:00Z",
            &rows,
        );
        let unknown = cells(None, date(2026, 2, 18), "2026-02-17T19:30:00Z", &rows);

        for figures in [known, unknown] {
            assert_eq!(
                figures[8..12],
                [Some(0.0), Some(0.0), None, Some(3.0)],
                "09:30 local"
            );
        }
    }

    #[test]
    fn the_repeated_hour_begins_twice() {
        let rows = [("00", 1), ("01", 2), ("01", 0), ("02", 0)];

        let before = cells(
            Some("America/Chicago"),
            date(2026, 11, 1),
            "2026-11-01T06:30:00Z",
            &rows,
        );
        let within = cells(
            Some("America/Chicago"),
            date(2026, 11, 1),
            "2026-11-01T07:30:00Z",
            &rows,
        );

        assert_eq!(before.len(), 25);
        assert_eq!(
            (before[1], before[24], before[2]),
            (Some(2.0), None, None),
            "first 01:30"
        );
        assert_eq!(
            (within[1], within[24], within[2]),
            (Some(2.0), Some(0.0), None),
            "second 01:30"
        );
    }

    #[test]
    fn a_day_without_rows_has_slots_and_no_figures() {
        let figures = cells(
            Some("America/Chicago"),
            date(2026, 11, 1),
            "2026-12-01T00:00:00Z",
            &[],
        );

        assert_eq!(figures, vec![None; 25]);
    }

    #[test]
    fn an_implausible_computing_time_is_ignored() {
        let now: Timestamp = "2026-02-19T15:03:24Z".parse().unwrap();

        let good = Times::new(now, Some(1_771_513_404.5));
        assert_eq!(
            good.computed_at,
            Some("2026-02-19T15:03:24.5Z".parse().unwrap())
        );
        for bad in [
            f64::NAN,
            f64::INFINITY,
            -1.0,
            0.0,
            1e300,
            1_771_513_404.0 + 301.0,
        ] {
            assert_eq!(Times::new(now, Some(bad)).computed_at, None, "{bad}");
        }
    }
}
