//! Checks levels within opening hours against a naive implementation, which looks at every site at every moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, DateTime, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use pitaya::domain::bucket::{Bucket, Profile, VendorBucket};
use pitaya::domain::cell::Cell;
use pitaya::domain::dates::DateRange;
use pitaya::domain::directory::{SiteDirectory, SiteEntry};
use pitaya::domain::figures::Figures;
use pitaya::domain::lifetime::Lifetime;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::Metric;
use pitaya::domain::opening::{Exceptions, OpeningHours, Windows};
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{GroupBy, Query};
use pitaya::domain::rollup::{CellGrid, roll_up_with_totals};
use pitaya::domain::site::{CustomerId, SiteId};
use proptest::prelude::*;

/// One of the vendor's buckets: its date, its first minute on the clock, and whether the clock shows that minute for the second time.
type Moment = (Date, u16, bool);

/// Sites with the same hours every day, in minutes from midnight.
#[derive(Debug)]
struct World {
    seed: u64,
    hours: Vec<(u16, u16)>,
    zone: TimeZone,
}

impl World {
    fn level(&self, site: usize, moment: Moment) -> Option<f64> {
        let hash = blake3::hash(format!("{} {site} {moment:?}", self.seed).as_bytes());
        let draw = hash.as_bytes()[0];
        (!draw.is_multiple_of(4)).then(|| f64::from(draw))
    }

    /// The buckets of a day, in the order in which they pass.
    fn moments(&self, day: Date, minutes: u16) -> Vec<Moment> {
        let midnight = |day: Date| self.zone.to_timestamp(day.at(0, 0, 0, 0)).unwrap();
        let (mut at, end) = (midnight(day), midnight(day.tomorrow().unwrap()));
        let mut moments: Vec<Moment> = Vec::new();
        while at < end {
            let clock = self.zone.to_datetime(at);
            let minute = clock.hour() as u16 * 60 + clock.minute() as u16;
            let again = moments.iter().any(|(_, before, _)| *before == minute);
            moments.push((day, minute, again));
            at += Span::new().minutes(i64::from(minutes));
        }
        moments
    }

    /// The date on which the site's current opening hours began, if it is open.
    fn business_day(&self, site: usize, (day, minute, _): Moment) -> Option<Date> {
        let (from, to) = self.hours[site];
        if (from..to).contains(&(minute + 1440)) {
            return day.yesterday().ok();
        }
        (from..to).contains(&minute).then_some(day)
    }
}

fn row(query: &Query, business: Date, (day, minute, _): Moment) -> DateTime {
    let monday = |day: Date| {
        day.saturating_sub(Span::new().days(i64::from(day.weekday().since(Weekday::Monday))))
    };
    // The week that begins on the first Monday of 1970 stands for weekdays.
    let weekday = |day: Date| {
        date(1970, 1, 5)
            .saturating_add(Span::new().days(i64::from(day.weekday().since(Weekday::Monday))))
    };
    let hour = (minute / 60) as i8;
    match query.bucket {
        Bucket::Minutes(length) => {
            let start = minute / length * length;
            day.at((start / 60) as i8, (start % 60) as i8, 0, 0)
        }
        Bucket::Day => business.at(0, 0, 0, 0),
        Bucket::Week => monday(business).at(0, 0, 0, 0),
        Bucket::Profile(Profile::HourOfDay) => date(1970, 1, 5).at(hour, 0, 0, 0),
        Bucket::Profile(Profile::HourOfWeek) => weekday(business).at(hour, 0, 0, 0),
        Bucket::Profile(Profile::DayOfWeek) => weekday(business).at(0, 0, 0, 0),
        _ => query.dates.from().at(0, 0, 0, 0),
    }
}

/// The figure of each row. It adds up the levels of the row's sites at each moment, and takes the mean or the maximum of these sums.
fn naive(world: &World, query: &Query, minutes: u16) -> BTreeMap<DateTime, f64> {
    let mut sums = BTreeMap::<DateTime, BTreeMap<Moment, f64>>::new();
    for day in query.cell_days().iter() {
        for moment in world.moments(day, minutes) {
            for site in 0..world.hours.len() {
                let business = world.business_day(site, moment);
                let business = business.filter(|business| query.dates.contains(*business));
                if let (Some(business), Some(level)) = (business, world.level(site, moment)) {
                    let of_row = sums.entry(row(query, business, moment)).or_default();
                    *of_row.entry(moment).or_default() += level;
                }
            }
        }
    }
    let figure = |sums: BTreeMap<Moment, f64>| match query.metrics[0] {
        Metric::PeakOccupancy => sums.into_values().fold(0.0, f64::max),
        _ => sums.values().sum::<f64>() / sums.len() as f64,
    };
    let rows = sums.into_iter();
    rows.map(|(time, sums)| (time, figure(sums))).collect()
}

fn real(
    world: &World,
    query: &Query,
    hours: &[Arc<OpeningHours>],
) -> (u16, BTreeMap<DateTime, f64>) {
    let plan = Plan::new(query, VendorBucket::HOUR);
    assert_eq!(plan.series().len(), 1);
    let minutes = plan.series()[0].bucket.minutes();
    let dates = query.cell_days();
    let now: Timestamp = "2027-06-01T00:00:00Z".parse().unwrap();
    let mut grid = CellGrid::new(1, hours.len(), dates.len());
    for site in 0..hours.len() {
        for (index, day) in dates.iter().enumerate() {
            let mut slots = vec![None; usize::from(1440 / minutes)];
            for moment in world.moments(day, minutes) {
                let level = world.level(site, moment);
                if moment.2 {
                    slots.push(level);
                } else {
                    slots[usize::from(moment.1 / minutes)] = level;
                }
            }
            grid.set(
                grid.index(0, site, index),
                Cell::new(Figures::pack(&slots), now, None),
            );
        }
    }
    let days = hours.iter().map(|hours| {
        let windows = Windows::new(Some(hours), Lifetime::UNKNOWN, dates.iter());
        Arc::new(LocalDays::of(&dates, Some(&world.zone)).with_windows(windows))
    });
    let days: Vec<_> = days.collect();
    let table = roll_up_with_totals(query, &plan, &grid, &days, now).table;
    let rows = table.rows().filter_map(|row| {
        let figure = row.values().next().unwrap()?;
        Some((table.times()[row.time], figure))
    });
    (minutes, rows.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn levels_of_the_same_moment_add_up_whenever_each_site_opened(
        seed in any::<u64>(),
        hours in prop::collection::vec(
            prop::sample::select(vec![(1320, 1800), (240, 720), (0, 1440), (1080, 1560), (1200, 1710), (60, 150), (1410, 1530)]), 2..5),
        first in prop::sample::select(vec![date(2026, 2, 17), date(2026, 3, 6), date(2026, 10, 30), date(2026, 11, 1)]),
        days in 1_i64..5,
        bucket in prop::sample::select(vec!["30m", "hour", "2h", "8h", "day", "week", "total", "hour_of_day", "day_of_week", "hour_of_week"]),
        metric in prop::sample::select(vec![Metric::Occupancy, Metric::PeakOccupancy]),
    ) {
        let world = World { seed, hours, zone: TimeZone::get("America/Chicago").unwrap() };
        let dates = DateRange::new(first, first.saturating_add(Span::new().days(days - 1))).unwrap();
        let ids = (1..).take(world.hours.len()).filter_map(SiteId::new).collect();
        let mut query = Query {
            bucket: bucket.parse().unwrap(),
            group_by: GroupBy::None,
            ..Query::new(CustomerId::new(1).unwrap(), ids, dates, vec![metric])
        };
        let mut directory = SiteDirectory::default();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let hours: Vec<_> = world.hours.iter().map(|(from, to)| {
            let text = format!("Mo-Su {}-{}", clock(*from), clock(*to));
            Arc::new(OpeningHours::new(text.parse().unwrap(), None, Exceptions::new()))
        }).collect();
        for (site, hours) in query.sites.iter().zip(&hours) {
            let entry = SiteEntry { hours: Some(Arc::clone(hours)), ..SiteEntry::default() };
            directory.insert(query.customer, *site, entry).unwrap();
        }
        query.hours = directory.open_hours(&query);

        let (minutes, rows) = real(&world, &query, &hours);

        let expected = naive(&world, &query, minutes);
        prop_assert_eq!(rows.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (time, figure) in &rows {
            prop_assert!((figure - expected[time]).abs() < 1e-9, "{} {} {}", time, figure, expected[time]);
        }
    }
}
