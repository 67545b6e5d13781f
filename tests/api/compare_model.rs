//! Checks comparisons of unfinished days against a naive implementation, which looks at every hour of every site.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pitaya::domain::bucket::{Bucket, VendorBucket};
use pitaya::domain::cell::Cell;
use pitaya::domain::comparison::{Comparison, Mode, Shift};
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::Metric;
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{Fill, GroupBy, Include, Query};
use pitaya::domain::rollup::{CellGrid, States, roll_up_with_totals};
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::domain::table::{Extra, Group, Row, Value};
use proptest::prelude::*;

use crate::coverage_model::POLICY;

const ZONES: [&str; 3] = [
    "America/Chicago",
    "Pacific/Kiritimati",
    "America/Los_Angeles",
];

struct World {
    seed: u64,
    now: Timestamp,
}

impl World {
    fn zone(site: u64) -> TimeZone {
        TimeZone::get(ZONES[site as usize % ZONES.len()]).unwrap()
    }

    fn begins(site: u64, day: Date, hour: i64) -> Timestamp {
        let midnight = Self::zone(site).to_timestamp(day.at(0, 0, 0, 0));
        midnight.unwrap() + SignedDuration::from_hours(hour)
    }

    /// The count of a site in an hour of a day; `None` if its sensor fails.
    fn counts(&self, site: u64, day: Date, hour: i64) -> Option<f64> {
        let draw = |what: String| {
            let hash = blake3::hash(format!("{} {what}", self.seed).as_bytes());
            hash.as_bytes()[0]
        };
        let lost = draw(format!("{site} {day}")).is_multiple_of(8);
        let silent = draw(format!("{site} {day} {}", hour / 4)).is_multiple_of(8);
        let figure = f64::from(draw(format!("{site} {day} {hour}")) % 16);
        (!lost && !silent).then_some(figure)
    }

    fn build(&self, query: &Query) -> (Plan, CellGrid, Vec<Arc<LocalDays>>) {
        let plan = Plan::new(query, VendorBucket::HOUR);
        let dates = query.cell_days();
        let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), dates.len());
        for (index, site) in query.sites.iter().enumerate() {
            for (nth, day) in dates.iter().enumerate() {
                let begins = |hour| Self::begins(site.get(), day, hour);
                if begins(0) > self.now {
                    continue;
                }
                let figures = (0..24).map(|hour| {
                    let figure = self.counts(site.get(), day, hour);
                    figure.filter(|_| begins(hour + 1) <= self.now)
                });
                let figures: Vec<_> = figures.collect();
                let cell = Cell::new(Figures::pack(&figures), self.now, None);
                grid.set(grid.index(0, index, nth), cell);
            }
        }
        let days = query.sites.iter().map(|site| {
            let zone = Self::zone(site.get());
            Arc::new(LocalDays::of(&dates, Some(&zone)))
        });
        (plan, grid, days.collect())
    }
}

/// A row of one range.
#[derive(Clone, Default)]
struct Side {
    sum: Option<f64>,
    withheld: bool,
    begun: bool,
    expected: u32,
    observed: u32,
}

impl Side {
    fn coverage(&self) -> Option<f64> {
        (self.expected > 0).then(|| f64::from(self.observed) / f64::from(self.expected))
    }
}

/// The rows of one range of a series: the queried days moved by `shift` days.
fn naive(world: &World, query: &Query, sites: &[u64], shift: i64) -> BTreeMap<DateTime, Side> {
    let least: f64 = query.min_coverage.get();
    let mut rows: BTreeMap<DateTime, Side> = BTreeMap::new();
    for site in sites {
        let mut of_site: BTreeMap<DateTime, (Option<f64>, u32, u32, bool)> = BTreeMap::new();
        for day in query.dates.iter() {
            for hour in i64::from(query.hours.from() / 60)..i64::from(query.hours.to() / 60) {
                let start = match query.bucket {
                    Bucket::Minutes(_) => day.at(hour as i8, 0, 0, 0),
                    Bucket::Day => day.at(0, 0, 0, 0),
                    _ => query.dates.from().at(0, 0, 0, 0),
                };
                let (sum, expected, observed, begun) = of_site.entry(start).or_default();
                *begun |= World::begins(*site, day, hour) <= world.now;
                if World::begins(*site, day, hour + 1) > world.now {
                    continue;
                }
                *expected += 1;
                let other = day.saturating_add(jiff::Span::new().days(shift));
                let figure = world.counts(*site, other, hour);
                if let Some(figure) = figure {
                    *sum.get_or_insert(0.0) += figure;
                }
                // Without a window, a day lacks something only if it has no figure at all.
                let anything = (0..24).any(|hour| {
                    let over = World::begins(*site, day, hour + 1) <= world.now;
                    over && world.counts(*site, other, hour).is_some()
                });
                let seen = figure.is_some() || (!query.hours.is_given() && anything);
                *observed += u32::from(seen);
            }
        }
        for (start, (sum, expected, observed, begun)) in of_site {
            let row = rows.entry(start).or_default();
            row.begun |= begun;
            row.expected += expected;
            row.observed += observed;
            if expected > 0 && f64::from(observed) / f64::from(expected) < least {
                row.withheld = true;
            } else if let Some(sum) = sum {
                *row.sum.get_or_insert(0.0) += sum;
            }
        }
    }
    for row in rows.values_mut() {
        if query.fill == Fill::Zero && row.begun && !row.withheld {
            row.sum.get_or_insert(0.0);
        }
    }
    rows
}

fn number(extra: &Extra, row: &Row<'_>) -> Option<f64> {
    match extra.value(row)? {
        Value::Count(number) | Value::Decimal(number) => Some(number),
        other => panic!("{other:?} is no number"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn each_site_is_compared_up_to_its_own_time_and_expects_nothing_later(
        seed in any::<u64>(),
        (sites, days) in (1_u64..4, 1_i64..6),
        bucket in prop::sample::select(vec!["hour", "day", "total"]),
        hours in prop::sample::select(vec!["00:00-24:00", "09:00-17:00"]),
        group_by in prop::sample::select(vec![GroupBy::Site, GroupBy::None]),
        min in prop::sample::select(vec!["0", "0.5", "0.9", "1"]),
        fill in prop::sample::select(vec![Fill::Null, Fill::Zero]),
        minutes in 0_i64..6 * 24 * 60,
    ) {
        let first = date(2026, 6, 10);
        let now = World::begins(1, first, 0) + SignedDuration::from_mins(minutes);
        let world = World { seed, now };
        let last = first.saturating_add(jiff::Span::new().days(days - 1));
        let dates = DateRange::new(first, last).unwrap();
        let query = Query {
            bucket: bucket.parse().unwrap(),
            hours: hours.parse().unwrap(),
            group_by: group_by.clone(),
            min_coverage: min.parse().unwrap(),
            fill,
            include: Include { coverage: true, ..Include::NOTHING },
            compare: Comparison::new(Mode::PreviousWeek, dates, Shift::Days(-7), None),
            ..Query::new(CustomerId::new(1).unwrap(), (1..=sites).filter_map(SiteId::new).collect(), dates, vec![Metric::Entrances])
        };
        let (plan, grid, local) = world.build(&query);

        let mut table = roll_up_with_totals(&query, &plan, &grid, &local, now).table;
        States { query: &query, plan: &plan, grid: &grid, days: &local, policy: &POLICY, now }.tell(&mut table);

        let [_, previous, change, .., worth] = table.extras() else {
            panic!("a comparison has a time, a figure, a change and a coverage");
        };
        prop_assert_eq!((worth.within, worth.name), (Some("previous"), "coverage"));
        let mut shown = BTreeSet::new();
        for row in table.rows() {
            let (group, time) = (&table.groups()[row.group], table.times()[row.time]);
            let of: Vec<u64> = match group {
                Group::Site(site) => vec![site.get()],
                _ => (1..=sites).collect(),
            };
            let sides = [0, -7].map(|shift| naive(&world, &query, &of, shift)[&time].clone());
            prop_assert_eq!(row.coverage(), sides[0].coverage(), "coverage of {:?} {}", group, time);
            prop_assert_eq!(number(worth, &row), sides[1].coverage(), "coverage before {:?} {}", group, time);
            let [a, b] = sides.map(|side| side.sum);
            prop_assert_eq!(row.values().collect::<Vec<_>>(), [a], "{:?} {}", group, time);
            prop_assert_eq!(number(previous, &row), b, "previous of {:?} {}", group, time);
            let expected = a.zip(b).filter(|(_, b)| *b != 0.0).map(|(a, b)| (a - b) / b);
            prop_assert_eq!(number(change, &row), expected, "change of {:?} {}", group, time);
            shown.insert((row.group, time));
        }
        prop_assert_eq!(shown.len(), table.groups().len() * table.times().len());
    }
}
