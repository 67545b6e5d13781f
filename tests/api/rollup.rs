//! Compares the rollup with a naive implementation of the table of metrics, which examines every observation.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday, date};
use pitaya::domain::bucket::{Bucket, Hours, VendorBucket};
use pitaya::domain::calendar::{Calendar, WeekStart};
use pitaya::domain::cell::Cell;
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::fiscal::FiscalCalendar;
use pitaya::domain::local_day::DayShape;
use pitaya::domain::local_days::LocalDays;
use pitaya::domain::metric::{Metric, VendorMetric};
use pitaya::domain::plan::Plan;
use pitaya::domain::query::{Fill, GroupBy, Include, Query, Sort};
use pitaya::domain::rollup::{CellGrid, roll_up_with_totals};
use pitaya::domain::row_count::row_count;
use pitaya::domain::site::{CustomerId, SiteId};
use proptest::prelude::*;

use crate::support::retail;

type Row = (Option<u64>, DateTime, Vec<Option<f64>>);

/// The vendor's figure for a metric at a site on a date, for the bucket of `minutes` that begins at that minute.
fn observe(
    seed: u64,
    site: u64,
    date: Date,
    metric: VendorMetric,
    bucket: u16,
    minute: u16,
) -> Option<f64> {
    // Counts add up their five-minute parts; means are independent at every granularity.
    let counts = matches!(
        metric,
        VendorMetric::Entrances | VendorMetric::Transactions | VendorMetric::WalkBys
    );
    if counts && bucket > 5 {
        return (minute..minute + bucket)
            .step_by(5)
            .fold(None, |sum: Option<f64>, part| {
                match (sum, observe(seed, site, date, metric, 5, part)) {
                    (Some(sum), Some(more)) => Some(sum + more),
                    (sum, more) => sum.or(more),
                }
            });
    }
    let mut hash = DefaultHasher::new();
    (seed, site, date, metric, bucket, minute).hash(&mut hash);
    let [a, b, ..] = hash.finish().to_le_bytes();
    match a % 8 {
        // Whole hours also go missing, so that sums without any figure occur.
        _ if (u64::from(minute / 60) + seed + site).is_multiple_of(5) => None,
        0 => None,
        1 | 2 => Some(0.0),
        _ if counts => Some(f64::from(b)),
        _ => Some(f64::from(b) / 4.0),
    }
}

pub(super) fn coarsest(limit: u16, bucket: Bucket, hours: Hours) -> u16 {
    let length = match bucket {
        Bucket::Minutes(minutes) => minutes,
        _ => 1440,
    };
    *[60, 30, 15, 10, 5]
        .iter()
        .find(|b| {
            **b <= limit
                && length % **b == 0
                && hours.from().is_multiple_of(**b)
                && hours.to().is_multiple_of(**b)
        })
        .unwrap()
}

pub(super) fn bucket_start(query: &Query, mut day: Date, minute: u16) -> DateTime {
    let fiscal = matches!(query.calendar, Calendar::Fiscal(_));
    match query.bucket {
        Bucket::Minutes(length) => {
            let start = minute - minute % length;
            return day.at((start / 60) as i8, (start % 60) as i8, 0, 0);
        }
        Bucket::Day => {}
        Bucket::Year if fiscal => day = retail::first_of(day, 1),
        Bucket::Quarter if fiscal => day = retail::first_of(day, 2),
        Bucket::Month if fiscal => day = retail::first_of(day, 3),
        Bucket::Week if fiscal => day = retail::first_of(day, 4),
        Bucket::Week => {
            let first = match query.calendar {
                Calendar::Gregorian(WeekStart::Monday) => Weekday::Monday,
                Calendar::Gregorian(WeekStart::Saturday) => Weekday::Saturday,
                _ => Weekday::Sunday,
            };
            while day.weekday() != first {
                day = day.yesterday().unwrap();
            }
        }
        Bucket::Month => {
            while day.day() != 1 {
                day = day.yesterday().unwrap();
            }
        }
        Bucket::Quarter => {
            while day.day() != 1 || ![1, 4, 7, 10].contains(&day.month()) {
                day = day.yesterday().unwrap();
            }
        }
        Bucket::Year => {
            while day.day_of_year() != 1 {
                day = day.yesterday().unwrap();
            }
        }
        Bucket::Total => day = query.dates.from(),
        Bucket::Profile(_) => panic!("its rows have no start"),
    }
    day.at(0, 0, 0, 0)
}

/// Every observation of one group and bucket, by time, then by site.
type Seen = BTreeMap<(Date, u16), BTreeMap<u64, f64>>;

/// The calendar day and the minute of the day, for a minute counted from the midnight of `date`.
pub(super) fn on_calendar(date: Date, minute: u16) -> (Date, u16) {
    if minute < 1440 {
        (date, minute)
    } else {
        (date.tomorrow().unwrap(), minute - 1440)
    }
}

/// The starts of the vendor's buckets of `bucket` minutes, keyed by the start of the row that they belong to. Each consists of the date on
/// which its hours began, and the minutes since that date's midnight.
pub(super) fn times(query: &Query, bucket: u16) -> BTreeMap<DateTime, Vec<(Date, u16)>> {
    let mut times = BTreeMap::<_, Vec<_>>::new();
    for day in query.dates.iter() {
        let minutes = (query.hours.from()..query.hours.to()).step_by(usize::from(bucket));
        if !matches!(query.bucket, Bucket::Minutes(_)) {
            let of_day = times.entry(bucket_start(query, day, 0)).or_default();
            of_day.extend(minutes.map(|minute| (day, minute)));
            continue;
        }
        for minute in minutes {
            let (on, at) = on_calendar(day, minute);
            let start = bucket_start(query, on, at);
            times.entry(start).or_default().push((day, minute));
        }
    }
    times
}

fn seen(
    seed: u64,
    sites: &[u64],
    times: &[(Date, u16)],
    metric: VendorMetric,
    bucket: u16,
) -> Seen {
    let mut seen = Seen::new();
    for (day, minute) in times {
        let (day, minute) = on_calendar(*day, *minute);
        for site in sites {
            if let Some(figure) = observe(seed, *site, day, metric, bucket, minute) {
                let at = seen.entry((day, minute)).or_default();
                at.insert(*site, figure);
            }
        }
    }
    seen
}

fn sum(seen: &Seen) -> Option<f64> {
    (!seen.is_empty()).then(|| seen.values().flat_map(BTreeMap::values).sum())
}

/// The vendor's buckets of one row: their length in minutes, and their starts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) minutes: u16,
    pub(super) times: &'a [(Date, u16)],
}

/// The figure of one row, from its `fine` parts or, for means, from its `coarse` parts.
pub(super) fn naive_value(
    seed: u64,
    sites: &[u64],
    metric: Metric,
    [fine_parts, coarse_parts]: [Parts<'_>; 2],
) -> Option<f64> {
    let (fine, coarse) = (fine_parts.minutes, coarse_parts.minutes);
    let all = |metric, bucket| {
        let parts = if bucket == fine {
            fine_parts
        } else {
            coarse_parts
        };
        seen(seed, sites, parts.times, metric, bucket)
    };
    let level = |at: &BTreeMap<u64, f64>| at.values().sum::<f64>();
    match metric {
        Metric::Entrances => sum(&all(VendorMetric::Entrances, fine)),
        Metric::WalkBys => sum(&all(VendorMetric::WalkBys, fine)),
        Metric::Transactions => sum(&all(VendorMetric::Transactions, fine)),
        Metric::DwellTime => {
            let weights = all(VendorMetric::Entrances, coarse);
            let (mut top, mut bottom) = (0.0, 0.0);
            for (time, values) in all(VendorMetric::DwellTime, coarse) {
                for (site, value) in values {
                    let weight = weights
                        .get(&time)
                        .and_then(|at| at.get(&site))
                        .copied()
                        .unwrap_or(0.0);
                    top += value * weight;
                    bottom += weight;
                }
            }
            (bottom > 0.0).then(|| top / bottom)
        }
        Metric::Occupancy => {
            let seen = all(VendorMetric::Occupancy, coarse);
            (!seen.is_empty()).then(|| seen.values().map(level).sum::<f64>() / seen.len() as f64)
        }
        Metric::PeakOccupancy => all(VendorMetric::Occupancy, fine)
            .values()
            .map(level)
            .reduce(f64::max),
        Metric::ConversionRate => {
            let (whole, sold) = (VendorMetric::Entrances, VendorMetric::Transactions);
            let (mut sales, mut entrances) = (all(sold, fine), all(whole, fine));
            for (site, day) in site_days([&sales, &entrances], sites) {
                let silent_parts = silent(seed, site, day, sold, fine).len();
                let none_sold = silent_parts * usize::from(fine) == 1440;
                let gone = silent(seed, site, day, whole, fine);
                let counts = |minute| !none_sold && !gone.contains(&minute);
                keep(&mut sales, site, day, counts);
                keep(&mut entrances, site, day, counts);
            }
            let (sales, entrances) = (sum(&sales)?, sum(&entrances)?);
            (entrances > 0.0).then(|| sales / entrances)
        }
        Metric::CaptureRate => {
            let (mut entrances, mut passed) = (
                all(VendorMetric::Entrances, fine),
                all(VendorMetric::WalkBys, fine),
            );
            for (site, day) in site_days([&entrances, &passed], sites) {
                let gone = [VendorMetric::Entrances, VendorMetric::WalkBys]
                    .map(|metric| silent(seed, site, day, metric, fine));
                let counts = |minute| !gone.iter().any(|gone| gone.contains(&minute));
                keep(&mut entrances, site, day, counts);
                keep(&mut passed, site, day, counts);
            }
            let (entrances, passed) = (sum(&entrances)?, sum(&passed)?);
            (entrances + passed > 0.0).then(|| entrances / (entrances + passed))
        }
    }
}

/// The days with any observation, at each of `sites`.
fn site_days(seen: [&Seen; 2], sites: &[u64]) -> BTreeSet<(u64, Date)> {
    let days = |site| {
        seen.into_iter()
            .flat_map(BTreeMap::keys)
            .map(move |(day, _)| (site, *day))
    };
    sites.iter().flat_map(|site| days(*site)).collect()
}

/// Removes the parts of a site's day that do not count.
fn keep(seen: &mut Seen, site: u64, day: Date, counts: impl Fn(u16) -> bool) {
    for ((date, minute), at) in seen.iter_mut() {
        if *date == day && !counts(*minute) {
            at.remove(&site);
        }
    }
    seen.retain(|_, at| !at.is_empty());
}

/// The minutes from which nothing was observed for an hour or longer.
fn silent(seed: u64, site: u64, day: Date, metric: VendorMetric, bucket: u16) -> Rc<BTreeSet<u16>> {
    type Days = HashMap<(u64, u64, Date, VendorMetric, u16), Rc<BTreeSet<u16>>>;
    thread_local! {
        // Each row asks for its whole days, so this remembers them.
        static KNOWN: RefCell<Days> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let silent = known.entry((seed, site, day, metric, bucket));
        let silent = silent.or_insert_with(|| {
            let (mut silent, mut run) = (BTreeSet::new(), Vec::new());
            for minute in (0..=1440).step_by(usize::from(bucket)) {
                if minute < 1440 && observe(seed, site, day, metric, bucket, minute).is_none() {
                    run.push(minute);
                    continue;
                }
                if run.len() as u16 * bucket >= 60 {
                    silent.extend(run.iter().copied());
                }
                run.clear();
            }
            Rc::new(silent)
        });
        Rc::clone(silent)
    })
}

fn naive(query: &Query, base: u16, seed: u64) -> Vec<Row> {
    naive_from(query, query.bucket, base, seed)
}

/// The rows of `query`, made from the vendor's buckets that a query in `bucket` needs.
fn naive_from(query: &Query, bucket: Bucket, base: u16, seed: u64) -> Vec<Row> {
    let sites: Vec<u64> = query.sites.iter().map(|site| site.get()).collect();
    let groups: Vec<(Option<u64>, Vec<u64>)> = match query.group_by {
        GroupBy::Site => sites
            .iter()
            .map(|site| (Some(*site), vec![*site]))
            .collect(),
        GroupBy::None => vec![(None, sites)],
        GroupBy::Tag(_) => unreachable!("these queries have no tags"),
    };
    let [fine, coarse] = [base, 60].map(|limit| {
        let minutes = coarsest(limit, bucket, query.hours);
        (minutes, times(query, minutes))
    });
    let mut rows = Vec::new();
    for (group, sites) in groups {
        for start in fine.1.keys() {
            let parts = [&fine, &coarse].map(|(minutes, times)| Parts {
                minutes: *minutes,
                times: &times[start],
            });
            let mut values: Vec<Option<f64>> = query
                .metrics
                .iter()
                .map(|metric| naive_value(seed, &sites, *metric, parts))
                .collect();
            if query.fill == Fill::None && values.iter().all(Option::is_none) {
                continue;
            }
            if query.fill == Fill::Zero {
                for (value, metric) in values.iter_mut().zip(&query.metrics) {
                    let count =
                        [Metric::Entrances, Metric::WalkBys, Metric::Transactions].contains(metric);
                    *value = value.or(count.then_some(0.0));
                }
            }
            rows.push((group, *start, values));
        }
    }
    rows
}

fn real(query: &Query, base: u16, seed: u64) -> Vec<Row> {
    let (plan, grid, days) = world(query, base, seed);
    rows(&roll_up_with_totals(query, &plan, &grid, &days, later()).table)
}

/// The plan of `query`, and all cells and days that it needs.
pub(super) fn world(query: &Query, base: u16, seed: u64) -> (Plan, CellGrid, Vec<Arc<LocalDays>>) {
    let plan = Plan::new(query, VendorBucket::from_minutes(base).unwrap());
    let dates = query.cell_days();
    let mut grid = CellGrid::new(plan.series().len(), query.sites.len(), dates.len());
    for (series_index, series) in plan.series().iter().enumerate() {
        for (site_index, site) in query.sites.iter().enumerate() {
            for (date_index, day) in dates.iter().enumerate() {
                let minutes = series.bucket.minutes();
                let figures: Vec<_> = (0..1440)
                    .step_by(usize::from(minutes))
                    .map(|minute| observe(seed, site.get(), day, series.metric, minutes, minute))
                    .collect();
                let index = grid.index(series_index, site_index, date_index);
                grid.set(index, Cell::new(Figures::pack(&figures), later(), None));
            }
        }
    }
    let days = Arc::new(LocalDays::of(&dates, None));
    let days = query.sites.iter().map(|_| Arc::clone(&days)).collect();
    (plan, grid, days)
}

/// A time long after all requested dates.
pub(super) fn later() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn rows(table: &pitaya::domain::table::Table) -> Vec<Row> {
    table
        .rows()
        .map(|row| {
            (
                table.groups()[row.group].site().map(SiteId::get),
                table.times()[row.time],
                row.values().collect(),
            )
        })
        .collect()
}

fn assert_same(real: &[Row], naive: &[Row]) -> Result<(), TestCaseError> {
    prop_assert_eq!(real.len(), naive.len());
    for ((group, time, values), (other_group, other_time, other_values)) in real.iter().zip(naive) {
        prop_assert_eq!((group, time), (other_group, other_time));
        for (value, other) in values.iter().zip(other_values) {
            match (value, other) {
                (Some(value), Some(other)) => {
                    prop_assert!((value - other).abs() <= 1e-9 * other.abs().max(1.0))
                }
                (value, other) => prop_assert_eq!(value, other),
            }
        }
    }
    Ok(())
}

fn calendar() -> impl Strategy<Value = Calendar> {
    prop_oneof![
        prop::sample::select(WeekStart::WORDS.to_vec())
            .prop_map(|(_, start)| Calendar::Gregorian(start)),
        Just(Calendar::Fiscal(Arc::new(FiscalCalendar::nrf()))),
    ]
}

pub(super) fn query() -> impl Strategy<Value = Query> {
    let bucket = prop::sample::select(vec![
        "5m", "10m", "15m", "20m", "30m", "hour", "2h", "3h", "4h", "6h", "8h", "12h", "day",
        "week", "month", "quarter", "year", "total",
    ]);
    let window =
        (0_u16..288, 1_u16..=288).prop_map(|(from, len)| (from * 5, (from + len).min(288) * 5));
    let hours = prop_oneof![
        Just((0, 1440)),
        window.clone(),
        window
            .clone()
            .prop_map(|(from, to)| (from / 60 * 60, to.div_ceil(60) * 60)),
        // From the end of one day's window to the start of the next day's.
        window.prop_filter_map("it has a length", |(from, to)| (to < 1440)
            .then_some((to, from))),
    ];
    (
        prop::collection::btree_set(1_u64..20, 1..4),
        (0_i64..70, 0_i64..12),
        prop::sample::subsequence(Metric::ALL.to_vec(), 1..=8).prop_shuffle(),
        bucket,
        calendar(),
        hours,
        prop::sample::select(vec![GroupBy::Site, GroupBy::None]),
        prop::sample::select(vec![Fill::Null, Fill::Zero, Fill::None]),
    )
        .prop_map(
            |(sites, (from, days), metrics, bucket, calendar, (start, end), group_by, fill)| {
                let from = date(2026, 1, 20).saturating_add(jiff::Span::new().days(from));
                let to = from.saturating_add(jiff::Span::new().days(days));
                let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
                Query {
                    bucket: bucket.parse().unwrap(),
                    calendar,
                    hours: format!("{}-{}", clock(start), clock(end)).parse().unwrap(),
                    group_by,
                    fill,
                    ..Query::new(
                        CustomerId::new(1).unwrap(),
                        sites
                            .into_iter()
                            .map(|site| SiteId::new(site).unwrap())
                            .collect(),
                        DateRange::new(from, to).unwrap(),
                        metrics,
                    )
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_rollup_agrees_with_a_naive_one(query in query(), base in prop::sample::select(vec![5_u16, 10, 15, 30, 60]), seed in 0_u64..1000) {
        let rolled = real(&query, base, seed);

        assert_same(&rolled, &naive(&query, base, seed))?;
        if query.fill != Fill::None {
            prop_assert_eq!(rolled.len(), row_count(&query));
        }
    }

    #[test]
    fn a_total_is_the_sum_of_its_days_hours_and_quarters(query in query(), seed in 0_u64..1000) {
        let counts = vec![Metric::Entrances, Metric::WalkBys, Metric::Transactions];
        let sums = |bucket: &str| {
            let query = Query { bucket: bucket.parse().unwrap(), metrics: counts.clone(), group_by: GroupBy::None, fill: Fill::Null, ..query.clone() };
            real(&query, 15, seed).into_iter().fold(vec![None; 3], |sums: Vec<Option<f64>>, (_, _, values)| {
                sums.iter().zip(values).map(|(sum, value)| match (*sum, value) {
                    (Some(sum), Some(value)) => Some(sum + value),
                    (sum, value) => sum.or(value),
                }).collect()
            })
        };

        let total = sums("total");

        for bucket in ["month", "week", "day", "12h", "hour", "20m", "15m", "5m"] {
            prop_assert_eq!(&sums(bucket), &total, "{}", bucket);
        }
    }

    #[test]
    fn totals_and_the_order_of_series_agree_with_a_naive_implementation(
        query in query(),
        base in prop::sample::select(vec![5_u16, 15, 60]),
        (nth, descending, limit) in (0_usize..8, any::<bool>(), 1_usize..5),
        seed in 0_u64..1000,
    ) {
        let sort = Sort { metric: query.metrics[nth % query.metrics.len()], descending };
        let query = Query { include: Include { totals: true, ..Include::NOTHING }, sort: Some(sort), limit: Some(limit), ..query };
        let (plan, grid, days) = world(&query, base, seed);

        let rolled = roll_up_with_totals(&query, &plan, &grid, &days, later());

        let fill = if query.fill == Fill::None { Fill::Null } else { query.fill };
        let of = |group_by| naive_from(&Query { bucket: Bucket::Total, group_by, fill, ..query.clone() }, query.bucket, base, seed);
        let totals = rolled.totals.unwrap();
        assert_same(&rows(&totals.grand), &of(GroupBy::None))?;
        let (all, shown) = (of(query.group_by.clone()), rows(&totals.series));
        prop_assert_eq!(shown.len(), all.len().min(limit));
        let place = |row: &Row| all.iter().position(|(group, _, _)| *group == row.0).unwrap();
        for row in &shown {
            assert_same(std::slice::from_ref(row), std::slice::from_ref(&all[place(row)]))?;
        }
        // No later series has a total that belongs earlier.
        let figure = |row: &Row| row.2[nth % query.metrics.len()];
        let belongs_before = |one: &Row, other: &Row| match (figure(one), figure(other)) {
            (Some(one), Some(other)) if descending => one > other + 1e-6,
            (Some(one), Some(other)) => one + 1e-6 < other,
            (one, other) => one.is_some() && other.is_none(),
        };
        let hidden = all.iter().filter(|row| shown.iter().all(|other| other.0 != row.0));
        let order: Vec<&Row> = shown.iter().chain(hidden).collect();
        for (nth, row) in shown.iter().enumerate() {
            for later in &order[nth + 1..] {
                prop_assert!(!belongs_before(later, row));
                let tied = figure(later) == figure(row);
                prop_assert!(!tied || place(row) < place(later));
            }
        }
        let every = naive(&query, base, seed);
        let of_group = |group: Option<u64>| every.iter().filter(move |row| row.0 == group).cloned();
        let expected: Vec<Row> = shown.iter().flat_map(|row| of_group(row.0)).collect();
        assert_same(&rows(&rolled.table), &expected)?;
    }

    #[test]
    fn any_split_of_the_dates_gives_the_same_figures(query in query(), cut in 0_usize..12, seed in 0_u64..1000) {
        prop_assume!(matches!(query.bucket, Bucket::Minutes(_) | Bucket::Day) && query.dates.len() > 1);
        let days: Vec<Date> = query.dates.iter().collect();
        let cut = 1 + cut % (days.len() - 1);
        let part = |from, to| Query { dates: DateRange::new(from, to).unwrap(), ..query.clone() };

        let whole = real(&query, 15, seed);
        let mut parts = real(&part(days[0], days[cut - 1]), 15, seed);
        parts.extend(real(&part(days[cut], days[days.len() - 1]), 15, seed));

        parts.sort_by_key(|(group, time, _)| (*group, *time));
        // The last bucket of a window past midnight may also be the first bucket of the next date. The whole then has one row for it, and
        // so does either part.
        let is_shared = |pair: &[Row]| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1);
        prop_assume!(!parts.windows(2).any(is_shared));
        assert_same(&whole, &parts)?;
    }
}

#[test]
fn the_repeated_hour_counts_twice_and_the_skipped_hour_is_not_expected() {
    let zone = jiff::tz::TimeZone::get("America/Chicago").unwrap();
    let day = |date: Date, bucket: &str| {
        let query = Query {
            bucket: bucket.parse().unwrap(),
            ..Query::new(
                CustomerId::new(1).unwrap(),
                vec![SiteId::new(1).unwrap()],
                DateRange::day(date).unwrap(),
                vec![Metric::Entrances, Metric::Occupancy, Metric::PeakOccupancy],
            )
        };
        let shape = DayShape::of(date, Some(&zone));
        let days = LocalDays::new(query.dates, Some(&zone));
        let plan = Plan::new(&query, VendorBucket::HOUR);
        let mut grid = CellGrid::new(plan.series().len(), 1, 1);
        for series in 0..plan.series().len() {
            let mut figures: Vec<_> = (0..24)
                .map(|hour| (hour != 2 || shape.gap.is_none()).then_some(1.0))
                .collect();
            figures.extend(shape.fold.iter().map(|_| Some(5.0)));
            let index = grid.index(series, 0, 0);
            grid.set(index, Cell::new(Figures::pack(&figures), later(), None));
        }
        rows(&roll_up_with_totals(&query, &plan, &grid, &[Arc::new(days)], later()).table)
    };

    let autumn = day(date(2026, 11, 1), "hour");
    let spring = day(date(2026, 3, 8), "hour");

    assert_eq!(autumn.len(), 24);
    assert_eq!(autumn[1].2, [Some(6.0), Some(3.0), Some(5.0)]);
    assert_eq!(
        day(date(2026, 11, 1), "day")[0].2,
        [Some(29.0), Some(29.0 / 25.0), Some(5.0)]
    );
    assert_eq!(spring.len(), 23);
    assert!(spring.iter().all(|(_, time, _)| time.hour() != 2));
    assert_eq!(day(date(2026, 3, 8), "2h").len(), 12);
}

/// The mean of a day's hourly levels at `sites` sites. Every level is 2, except the one of `hour`.
fn mean_level(zone: &str, date: Date, (hour, level): (usize, f64), sites: u64) -> Option<f64> {
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let query = Query {
        bucket: Bucket::Day,
        group_by: GroupBy::None,
        ..Query::new(
            CustomerId::new(1).unwrap(),
            (1..=sites).filter_map(SiteId::new).collect(),
            DateRange::day(date).unwrap(),
            vec![Metric::Occupancy],
        )
    };
    let days = Arc::new(LocalDays::new(query.dates, Some(&zone)));
    let days = vec![days; query.sites.len()];
    let plan = Plan::new(&query, VendorBucket::HOUR);
    assert_eq!(plan.series()[0].bucket, VendorBucket::HOUR);
    let mut grid = CellGrid::new(1, query.sites.len(), 1);
    let mut figures = vec![Some(2.0); 24];
    figures[hour] = Some(level);
    for site in 0..query.sites.len() {
        let cell = Cell::new(Figures::pack(&figures), later(), None);
        grid.set(grid.index(0, site, 0), cell);
    }
    rows(&roll_up_with_totals(&query, &plan, &grid, &days, later()).table)[0].2[0]
}

#[test]
fn a_level_weighs_as_long_as_its_bucket_lasts_even_if_the_clock_goes_forward_within_it() {
    // The clock skips from 02:00 to 02:30.
    let lord_howe = |hour| mean_level("Australia/Lord_Howe", date(2026, 10, 4), hour, 1);
    let expected = |weight: f64| (23.0 * 2.0 + weight * 49.0) / (23.0 + weight);

    let (skipped, whole) = (lord_howe((2, 49.0)), lord_howe((3, 49.0)));

    assert!(
        (skipped.unwrap() - expected(0.5)).abs() < 1e-9,
        "{skipped:?}"
    );
    let rest = 22.5 * 2.0 + 49.0;
    assert!((whole.unwrap() - rest / 23.5).abs() < 1e-9, "{whole:?}");
    let of_two = mean_level("Australia/Lord_Howe", date(2026, 10, 4), (2, 49.0), 2);
    assert!((of_two.unwrap() - 2.0 * expected(0.5)).abs() < 1e-9);
    let ordinary = mean_level("Australia/Lord_Howe", date(2026, 10, 5), (2, 49.0), 1);
    assert!((ordinary.unwrap() - expected(1.0)).abs() < 1e-9);
}
