//! The figures behind the answers, so that tests can compare with an independent implementation.

use std::ops::Range;

use jiff::civil::Date;

use super::day::{Day, Events, Seen};
use super::example;
use super::quirks::{EmptyBuckets, FutureBuckets, Quirks, RepeatedHour};
use crate::domain::bucket::VendorBucket;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;

/// A figure for each of [`VendorMetric::ALL`].
pub(super) type Row = [Option<f64>; VendorMetric::ALL.len()];

/// One day at one site in buckets, as the vendor reports it.
///
/// Each bucket of the day on the clock has a slot. Where DST repeats whole buckets, the second occurrences follow at the end.
#[derive(Clone, Debug)]
pub(super) struct DayInBuckets {
    bucket: VendorBucket,
    repeated: Range<u16>,
    rows: Vec<Option<Row>>,
}

impl DayInBuckets {
    /// Adds up the steps of `day` that begin within `window` (minutes after midnight).
    pub(super) fn of(
        day: &Day,
        bucket: VendorBucket,
        window: &Range<u16>,
        quirks: &Quirks,
    ) -> Self {
        let repeated = day.shape.repeated(bucket).unwrap_or(0..0);
        let slots = usize::from(bucket.slots_per_day());
        let extra = usize::from((repeated.end - repeated.start) / bucket.minutes());
        let apart = extra > 0 && quirks.repeated_hour == RepeatedHour::TwoRows;
        let mut sums = vec![Sums::default(); slots + extra];
        for step in day
            .steps
            .iter()
            .filter(|step| window.contains(&step.minute))
        {
            let slot = if step.second && apart {
                slots + usize::from((step.minute - repeated.start) / bucket.minutes())
            } else {
                usize::from(step.minute / bucket.minutes())
            };
            let sums = &mut sums[slot];
            match step.seen {
                Seen::Outage => {}
                Seen::Future => sums.future = true,
                Seen::Yes => {
                    sums.steps += 1;
                    sums.events += step.events;
                }
            }
        }
        let rows = sums.iter().map(|sums| sums.row(quirks)).collect();
        Self {
            bucket,
            repeated,
            rows,
        }
    }

    /// The vendor's documented example.
    pub(super) fn example(
        site: SiteId,
        date: Date,
        bucket: VendorBucket,
        window: &Range<u16>,
    ) -> Self {
        let mut rows = vec![None; usize::from(bucket.slots_per_day())];
        for (minute, entrances) in example::entrances(site, date) {
            if window.contains(&minute) {
                let row: &mut Row =
                    rows[usize::from(minute / bucket.minutes())].get_or_insert_default();
                *row[VendorMetric::Entrances as usize].get_or_insert(0.0) += f64::from(entrances);
            }
        }
        Self {
            bucket,
            repeated: 0..0,
            rows,
        }
    }

    /// The figures of `metric`, slot by slot.
    pub(super) fn figures(&self, metric: VendorMetric) -> Vec<Option<f64>> {
        self.rows
            .iter()
            .map(|row| row.and_then(|row| row[metric as usize]))
            .collect()
    }

    /// The vendor's rows, each with its start in minutes of the day on the clock, in order of time.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u16, &Row)> {
        let minutes = self.bucket.minutes();
        let slots = self.bucket.slots_per_day();
        let turn = usize::from(self.repeated.end / minutes);
        let (clock, again) = self.rows.split_at(usize::from(slots));
        let (before, after) = clock.split_at(turn);
        let from = |start: u16| (start..).step_by(usize::from(minutes));
        from(0)
            .zip(before)
            .chain(from(self.repeated.start).zip(again))
            .chain(from(self.repeated.end).zip(after))
            .filter_map(|(minute, row)| Some((minute, row.as_ref()?)))
    }
}

/// The steps of one bucket, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Steps that the sensors reported.
    steps: u32,
    /// Whether part of the bucket is still to come.
    future: bool,
    events: Events,
}

impl Sums {
    fn row(&self, quirks: &Quirks) -> Option<Row> {
        const ZEROS: Row = [Some(0.0); VendorMetric::ALL.len()];
        if self.steps == 0 {
            return (self.future && quirks.future == FutureBuckets::Zero).then_some(ZEROS);
        }
        let events = &self.events;
        if events.entrances + events.walk_bys + events.exits + events.inside == 0 {
            return match quirks.empty {
                EmptyBuckets::Absent => None,
                EmptyBuckets::Zero => Some(ZEROS),
                EmptyBuckets::Null => Some(Row::default()),
            };
        }
        Some(VendorMetric::ALL.map(|metric| match metric {
            VendorMetric::Entrances => Some(f64::from(events.entrances)),
            VendorMetric::WalkBys => Some(f64::from(events.walk_bys)),
            VendorMetric::Transactions => Some(f64::from(events.transactions)),
            VendorMetric::Occupancy => Some(mean(f64::from(events.inside), self.steps)),
            // The length of a stay is known at its end, so exits weight the mean: an hour's mean is not the mean of its quarters weighted
            // by entrances. That is why the vendor's own hourly figure is worth requesting.
            VendorMetric::DwellTime => match (events.exits, quirks.empty) {
                (0, EmptyBuckets::Zero) => Some(0.0),
                (0, _) => None,
                (exits, _) => Some(mean(events.stayed, exits)),
            },
        }))
    }
}

/// A mean with two decimals, as the vendor rounds.
fn mean(sum: f64, count: u32) -> f64 {
    (sum / f64::from(count) * 100.0).round() / 100.0
}
