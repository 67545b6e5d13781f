//! Checks coverage, states and business days against a naive implementation, which examines every bucket of every site by the site's own
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pitaya::domain::bucket::{Bucket, VendorBucket};
use pitaya::domain::cell::Cell;
use pitaya::domain::coverage::Basis;
use pitaya::domain::dates::DateRange;
use pitaya::domain::directory::{SiteDirectory, SiteEntry};
use pitaya::domain::figures::Figures;
use pitaya::domain::freshness::Policy;
use pitaya::domain::lifetime::Lifetime;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::Metric;
use pitaya::domain::opening::{Exceptions, OpeningHours, Windows};
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{GroupBy, Include, Query};
use pitaya::domain::rollup::{CellGrid, States, roll_up_with_totals};
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::domain::table::{Group, Value};
use proptest::prelude::*;

const METRICS: [Metric; 2] = [Metric::Entrances, Metric::WalkBys];

pub const POLICY: Policy = Policy {
    open_ttl: Duration::from_mins(1),
    settling_ttl: Duration::from_mins(15),
    settle_after: Duration::from_hours(48),
    final_ttl: Duration::from_hours(30 * 24),
    stale_while_revalidate: Duration::from_mins(5),
    stale_if_error: Duration::from_hours(24),
};

/// A bucket that has passed on a site's clock.
#[derive(Clone)]
struct Passed {
    day: Date,
    minute: u16,
    second: bool,
    ends: Timestamp,
    seen: [bool; 2],
    missing: [bool; 2],
}

#[derive(Clone, Debug)]
struct World {
    seed: u64,
    /// Approximate number of consecutive buckets that are present or absent.
    run: u64,
    zone: TimeZone,
    minutes: u16,
    /// When all figures were computed.
    as_of: Timestamp,
    /// The sites with known opening hours, and the number of each one's rule.
    rules: BTreeMap<u64, usize>,
    /// The first day on which a site is open, and the first on which it is closed for good, where they are known.
    lives: BTreeMap<u64, [Option<Date>; 2]>,
}

/// The opening hours that begin on a weekday, in minutes from its midnight.
type Rule = fn(Weekday) -> &'static [(u16, u16)];

/// Opening hours, in the configuration's grammar and as a function of the weekday.
const RULES: [(&str, Rule); 4] = [
    ("Mo-Sa 09:00-21:00; Su 11:00-18:00", |day| match day {
        Weekday::Sunday => &[(660, 1080)],
        _ => &[(540, 1260)],
    }),
    (
        "Mo-Fr 08:00-12:00,13:30-17:30; Sa,Su off",
        |day| match day {
            Weekday::Saturday | Weekday::Sunday => &[],
            _ => &[(480, 720), (810, 1050)],
        },
    ),
    ("Th-Sa 22:00-03:00; Su 20:00-24:00", |day| match day {
        Weekday::Thursday | Weekday::Friday | Weekday::Saturday => &[(1320, 1620)],
        Weekday::Sunday => &[(1200, 1440)],
        _ => &[],
    }),
    ("24/7", |_| &[(0, 1440)]),
];

impl World {
    fn draw(&self, what: &str) -> u64 {
        let hash = blake3::hash(format!("{} {what}", self.seed).as_bytes());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    }

    fn midnight(&self, day: Date) -> Timestamp {
        self.zone.to_timestamp(day.at(0, 0, 0, 0)).unwrap()
    }

    /// The buckets of a day, in the order in which they passed.
    fn day(&self, site: u64, day: Date) -> Vec<Passed> {
        let (begins, ends) = (self.midnight(day), self.midnight(day.tomorrow().unwrap()));
        let length = SignedDuration::from_mins(i64::from(self.minutes));
        let lost = self.draw(&format!("lost {site} {day}")).is_multiple_of(5);
        let mut passed: Vec<Passed> = Vec::new();
        let mut at = begins;
        while at < ends {
            let clock = self.zone.to_datetime(at);
            let minute = u16::from(clock.hour().unsigned_abs()) * 60
                + u16::from(clock.minute().unsigned_abs());
            let second = passed.iter().any(|before| before.minute == minute);
            let seen = [0, 1].map(|metric| {
                let stretch = (passed.len() as u64)
                    .saturating_sub(self.draw(&format!("{site} {day} {metric}")) % 7)
                    / self.run;
                !lost
                    && !self
                        .draw(&format!("{site} {day} {metric} {stretch}"))
                        .is_multiple_of(3)
            });
            passed.push(Passed {
                day,
                minute,
                second,
                ends: at + length,
                seen,
                missing: [false; 2],
            });
            at += length;
        }
        for metric in [0, 1] {
            let over = passed
                .iter()
                .take_while(|bucket| bucket.ends <= self.as_of)
                .count();
            let mut from = 0;
            for at in 0..=over {
                if at == over || passed[at].seen[metric] {
                    if (at - from) * usize::from(self.minutes) >= 60 {
                        passed[from..at]
                            .iter_mut()
                            .for_each(|bucket| bucket.missing[metric] = true);
                    }
                    from = at + 1;
                }
            }
        }
        passed
    }

    /// The opening hours that begin on `day` at a site, if they are known.
    fn hours(&self, site: u64, day: Date) -> &'static [(u16, u16)] {
        let [opened, closed] = self.lives.get(&site).copied().unwrap_or_default();
        if opened.is_some_and(|opened| day < opened) || closed.is_some_and(|closed| day >= closed) {
            return &[];
        }
        match self.rules.get(&site) {
            Some(rule) => (RULES[*rule].1)(day.weekday()),
            None => &[(0, 1440)],
        }
    }

    /// Whether the hours that begin on `day` at a site include that minute, which may lie on the next day.
    fn is_open(&self, site: u64, day: Date, minute: u16) -> bool {
        let mut hours = self.hours(site, day).iter();
        hours.any(|(from, to)| (*from..*to).contains(&minute))
    }
}

#[derive(Clone, Default, Debug, PartialEq)]
struct Row {
    expected: [u32; 2],
    observed: [u32; 2],
    sum: [Option<f64>; 2],
}

impl Row {
    fn share(&self, metric: usize) -> Option<f64> {
        (self.expected[metric] > 0)
            .then(|| f64::from(self.observed[metric]) / f64::from(self.expected[metric]))
    }

    fn coverage(&self) -> Option<f64> {
        [0, 1]
            .iter()
            .filter_map(|metric| self.share(*metric))
            .reduce(f64::min)
    }
}

fn start_of(query: &Query, business: Date, bucket: &Passed) -> DateTime {
    match query.bucket {
        Bucket::Minutes(length) => {
            let start = bucket.minute / length * length;
            bucket.day.at((start / 60) as i8, (start % 60) as i8, 0, 0)
        }
        Bucket::Day => business.at(0, 0, 0, 0),
        Bucket::Total => query.dates.from().at(0, 0, 0, 0),
        _ => {
            let mut monday = business;
            while monday.weekday() != Weekday::Monday {
                monday = monday.yesterday().unwrap();
            }
            monday.at(0, 0, 0, 0)
        }
    }
}

/// The date on which the requested hours that contain a bucket began, if any contain it.
fn business_day(world: &World, query: &Query, site: u64, bucket: &Passed) -> Option<Date> {
    let yesterday = bucket.day.yesterday().unwrap();
    let within = |day: Date, minute: u16| {
        let counts = if query.hours.is_open() {
            world.is_open(site, day, minute)
        } else {
            (query.hours.from()..query.hours.to()).contains(&minute)
        };
        counts && query.dates.contains(day)
    };
    if within(yesterday, bucket.minute + 1440) {
        Some(yesterday)
    } else {
        within(bucket.day, bucket.minute).then_some(bucket.day)
    }
}

fn naive_site(world: &World, query: &Query, site: u64) -> BTreeMap<DateTime, Row> {
    let mut rows: BTreeMap<DateTime, Row> = BTreeMap::new();
    let last = query.dates.to().tomorrow().unwrap();
    for day in query.dates.iter().chain([last]) {
        let passed = world.day(site, day);
        for bucket in &passed {
            let Some(business) = business_day(world, query, site, bucket) else {
                continue;
            };
            let row = rows.entry(start_of(query, business, bucket)).or_default();
            let open = world.is_open(site, day, bucket.minute)
                || world.is_open(site, day.yesterday().unwrap(), bucket.minute + 1440);
            for metric in [0, 1] {
                // Pitaya does not request a day that has not begun.
                if bucket.seen[metric] && world.midnight(day) <= world.as_of {
                    *row.sum[metric].get_or_insert(0.0) += 1.0;
                }
                if bucket.ends > world.as_of || !open {
                    continue;
                }
                row.expected[metric] += 1;
                let nothing = !passed.iter().any(|bucket| bucket.seen[metric]);
                let missing = if !world.rules.contains_key(&site) && !query.hours.is_given() {
                    nothing
                } else {
                    nothing || bucket.missing[metric]
                };
                row.observed[metric] += u32::from(!missing);
            }
        }
    }
    rows
}

fn build(world: &World, query: &Query) -> (Plan, CellGrid, Vec<Arc<LocalDays>>) {
    let plan = Plan::new(query, VendorBucket::from_minutes(world.minutes).unwrap());
    assert!(
        plan.series()
            .iter()
            .all(|series| series.bucket.minutes() == world.minutes)
    );
    let dates = query.cell_days();
    let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), dates.len());
    for (index, site) in query.sites.iter().enumerate() {
        for (date_index, day) in dates.iter().enumerate() {
            if world.midnight(day) > world.as_of {
                continue;
            }
            let passed = world.day(site.get(), day);
            for metric in [0, 1] {
                let mut slots = vec![None; usize::from(1440 / world.minutes)];
                let mut again = Vec::new();
                for bucket in &passed {
                    let figure = bucket.seen[metric].then_some(1.0);
                    match bucket.second {
                        true => again.push(figure),
                        false => slots[usize::from(bucket.minute / world.minutes)] = figure,
                    }
                }
                slots.append(&mut again);
                let place = grid.index(metric, index, date_index);
                grid.set(place, Cell::new(Figures::pack(&slots), world.as_of, None));
            }
        }
    }
    let days = query.sites.iter().map(|site| {
        let days = LocalDays::of(&dates, Some(&world.zone));
        let [opened, closed] = world.lives.get(&site.get()).copied().unwrap_or_default();
        let lifetime = Lifetime { opened, closed };
        Arc::new(match world.rules.get(&site.get()) {
            Some(rule) => {
                let hours =
                    OpeningHours::new(RULES[*rule].0.parse().unwrap(), None, Exceptions::new());
                days.with_windows(Windows::new(Some(&hours), lifetime, dates.iter()))
            }
            None if lifetime == Lifetime::UNKNOWN => days,
            None => days.with_days_of_existence(Windows::new(None, lifetime, dates.iter())),
        })
    });
    let days = days.collect();
    (plan, grid, days)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn quality_of_rows_agrees_with_looking_at_every_bucket(
        (seed, run) in (any::<u64>(), 1_u64..12),
        (sites, known) in (1_u64..4, prop::collection::vec(prop::option::of(0_usize..4), 4)),
        lives in prop::collection::vec((prop::option::of(-2_i64..9), prop::option::of(1_i64..9)), 4),
        first in prop::sample::select(vec![date(2026, 3, 5), date(2026, 3, 8), date(2026, 10, 30), date(2026, 11, 1), date(2026, 6, 3)]),
        days in 1_i64..9,
        bucket in prop::sample::select(vec!["30m", "hour", "8h", "day", "week", "total"]),
        hours in prop::sample::select(vec!["", "00:00-24:00", "09:00-17:00", "22:00-02:00", "20:00-19:00", "01:30-01:00", "open"]),
        minutes in prop::sample::select(vec![15_u16, 30]),
        group_by in prop::sample::select(vec![GroupBy::Site, GroupBy::None]),
        min in prop::sample::select(vec!["0", "0.3", "0.75", "1"]),
        asked in 0_i64..12 * 24 * 4,
    ) {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let is_open = hours == "open";
        let rules: BTreeMap<u64, usize> = (1..=sites).filter_map(|site| {
            let rule = known[site as usize];
            rule.or(is_open.then_some(site as usize % 4)).map(|rule| (site, rule))
        }).collect();
        let day = |days: i64| first.saturating_add(jiff::Span::new().days(days));
        let lives = (1..=sites).zip(lives).map(|(site, (opened, open))| {
            let closed = open.map(|open| day(opened.unwrap_or(0) + open));
            (site, [opened.map(day), closed])
        });
        let lives = lives.collect();
        let mut world = World { seed, run, zone, minutes, as_of: Timestamp::UNIX_EPOCH, rules, lives };
        world.as_of = world.midnight(first) + SignedDuration::from_mins(asked * 15);
        let dates = DateRange::new(first, first.saturating_add(jiff::Span::new().days(days - 1))).unwrap();
        let ids: Vec<_> = (1..=sites).filter_map(SiteId::new).collect();
        let mut query = Query {
            bucket: bucket.parse().unwrap(),
            group_by: group_by.clone(),
            include: Include { coverage: true, ..Include::NOTHING },
            min_coverage: min.parse().unwrap(),
            ..Query::new(CustomerId::new(1).unwrap(), ids, dates, METRICS.to_vec())
        };
        if is_open {
            let mut directory = SiteDirectory::default();
            for (site, rule) in &world.rules {
                let hours = OpeningHours::new(RULES[*rule].0.parse().unwrap(), None, Exceptions::new());
                let entry = SiteEntry { hours: Some(Arc::new(hours)), ..SiteEntry::default() };
                directory.insert(query.customer, SiteId::new(*site).unwrap(), entry).unwrap();
            }
            query.hours = directory.open_hours(&query);
        } else if !hours.is_empty() {
            query.hours = hours.parse().unwrap();
        }
        let least: f64 = min.parse().unwrap();

        let (plan, grid, local) = build(&world, &query);
        let mut table = roll_up_with_totals(&query, &plan, &grid, &local, world.as_of).table;
        let states = States { query: &query, plan: &plan, grid: &grid, days: &local, policy: &POLICY, now: world.as_of };
        states.tell(&mut table);

        let naive: BTreeMap<u64, BTreeMap<DateTime, Row>> = (1..=sites).map(|site| (site, naive_site(&world, &query, site))).collect();
        let mut shown = BTreeSet::new();
        let (mut least_seen, mut below) = (None::<f64>, 0);
        for row in table.rows() {
            let time = table.times()[row.time];
            let group: Vec<u64> = match &table.groups()[row.group] {
                Group::Site(site) => vec![site.get()],
                _ => (1..=sites).collect(),
            };
            shown.insert((group.clone(), time));
            let of: Vec<Row> = group.iter().map(|site| naive[site].get(&time).cloned().unwrap_or_default()).collect();
            let mut sum = Row::default();
            for one in &of {
                for metric in [0, 1] {
                    sum.expected[metric] += one.expected[metric];
                    sum.observed[metric] += one.observed[metric];
                    let kept = one.share(metric).is_none_or(|share| share >= least);
                    if let Some(figure) = one.sum[metric].filter(|_| kept) {
                        *sum.sum[metric].get_or_insert(0.0) += figure;
                    }
                }
            }
            let place = format!("{group:?} {time}");
            prop_assert_eq!(row.coverage(), sum.coverage(), "{}", place);
            prop_assert_eq!(row.values().collect::<Vec<_>>(), sum.sum.to_vec(), "{}", place);
            if let Some(coverage) = sum.coverage() {
                least_seen = Some(least_seen.map_or(coverage, |least| least.min(coverage)));
                below += usize::from(coverage < 1.0);
            }
            let extra = |name: &str| table.extras().iter().find(|extra| extra.name == name).and_then(|extra| extra.value(&row));
            if group_by == GroupBy::None {
                let observed = [0, 1].map(|metric| of.iter().filter(|one| {
                    one.sum[metric].is_some() && one.share(metric).is_none_or(|share| share >= least)
                }).count());
                let expected = of.iter().filter(|one| one.expected.iter().any(|expected| *expected > 0)).count();
                prop_assert_eq!(extra("sites_observed"), Some(Value::Count(*observed.iter().min().unwrap() as f64)), "{}", place);
                prop_assert_eq!(extra("sites_expected"), Some(Value::Count(expected as f64)), "{}", place);
            } else {
                prop_assert_eq!(extra("sites_expected"), None);
            }
            let monday = |day: Date| day.saturating_add(jiff::Span::new().days(-i64::from(day.weekday().since(Weekday::Monday))));
            let clipped = bucket == "week" && {
                let start = time.date();
                start < dates.from() || start.saturating_add(jiff::Span::new().days(6)) > dates.to()
            };
            prop_assert_eq!(extra("clipped"), Some(Value::Flag(clipped)), "{}", place);
            // The days on which the row's hours may have begun.
            let in_row: Vec<Date> = dates.iter().filter(|day| match query.bucket {
                Bucket::Minutes(_) => {
                    let length = SignedDuration::from_mins(i64::from(query.bucket.clock_minutes()));
                    let (from, to) = (query.hours.from(), query.hours.to());
                    let at = |minute: u16| day.at(0, 0, 0, 0).saturating_add(SignedDuration::from_mins(i64::from(minute)));
                    time < at(to) && at(from) < time.saturating_add(length)
                }
                Bucket::Day => time.date() == *day,
                Bucket::Total => true,
                _ => time.date() == monday(*day),
            }).collect();
            let begins = match query.bucket {
                Bucket::Minutes(_) => world.zone.to_timestamp(time).unwrap(),
                _ => world.midnight(in_row[0]),
            };
            let closed = |site: &u64| in_row.iter().all(|day| {
                if is_open {
                    return world.hours(*site, *day).is_empty();
                }
                let open = |day: Date, minute: u16| {
                    world.is_open(*site, day, minute) || world.is_open(*site, day.yesterday().unwrap(), minute + 1440)
                };
                let late = query.hours.to().saturating_sub(1440);
                !(0..1440).step_by(30).any(|minute| open(*day, minute))
                    && !(0..late).step_by(30).any(|minute| open(day.tomorrow().unwrap(), minute))
            });
            let over = |site: &u64, day: &Date| {
                let end = if is_open {
                    world.hours(*site, *day).last().map_or(0, |(_, to)| *to)
                } else {
                    query.hours.to()
                };
                let next = day.tomorrow().unwrap();
                let late = i64::from(end.saturating_sub(1440));
                let midnight = world.midnight(next);
                let late = next.at(0, 0, 0, 0).saturating_add(SignedDuration::from_mins(late));
                (midnight.max(world.zone.to_timestamp(late).unwrap()), if end > 1440 { world.midnight(next.tomorrow().unwrap()) } else { midnight })
            };
            let settled = SignedDuration::from_hours(48);
            let state = if begins > world.as_of {
                "future"
            } else if group.iter().all(closed) {
                "closed"
            } else if group.iter().any(|site| in_row.iter().any(|day| over(site, day).0 > world.as_of)) {
                "open"
            } else if group.iter().any(|site| in_row.iter().any(|day| over(site, day).1 + settled > world.as_of)) {
                "settling"
            } else {
                "final"
            };
            prop_assert_eq!(extra("state"), Some(Value::Word(state)), "{} {}", place, world.as_of);
        }
        let summary = table.coverage();
        prop_assert_eq!((summary.min, summary.rows_below_1), (least_seen, below));
        let basis = (1..=sites).map(|site| match world.rules.contains_key(&site) {
            true => Basis::Open,
            false if query.hours.is_given() => Basis::Hours,
            false => Basis::Days,
        }).min();
        prop_assert_eq!(Some(summary.basis), basis);
        // No row that has a figure is omitted.
        for (site, rows) in &naive {
            for (time, row) in rows {
                let group = if group_by == GroupBy::Site { vec![*site] } else { (1..=sites).collect() };
                prop_assert!(shown.contains(&(group, *time)), "{} {} {:?} {}", site, time, row, clock(0));
            }
        }
    }
}
