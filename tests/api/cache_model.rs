//! Compares the cache with a model: random interleavings of queries, clock changes in both directions, faults, late data and purges, in
//! front of vendors with every combination of quirks.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pitaya::domain::cell::CellKey;
use pitaya::domain::dates::{DateRange, add_days};
use pitaya::domain::local_day::DaySpan;
use pitaya::domain::metric::VendorMetric;
use pitaya::domain::site::SiteId;
use pitaya::simulator::{Fault, FaultKind, Faults, Mapping, Quirks, ReportCall, Respelt, Revision};
use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};
use serde_json::Value;

use crate::support::{Setup, TestApp, odd_quirks};

const START: &str = "2026-02-18T18:00:00Z";
const FIRST: Date = date(2026, 2, 13);
const OPEN_TTL: i64 = 60;
const SETTLING_TTL: i64 = 900;
const FINAL_TTL: i64 = 7200;
const SETTLE_AFTER: i64 = 48 * 3600;
const STALE_IF_ERROR: i64 = 3600;
/// Maximum number of calls for one query: the cost limit of one report.
const MOST_CALLS: usize = 32;

type Query = (u8, u8, i32, i32);

#[derive(Clone, Debug)]
enum Step {
    /// Concurrent queries: sites and metrics (a bit each), first day, days.
    Ask(Vec<Query>),
    Wait(i64),
    SetBack(i64),
    Break,
    Mend,
    Purge(Option<u64>, Option<(i32, i32)>),
    Revise(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let query = (1_u8..8, 1_u8..4, 0_i32..6, 1_i32..4);
    prop_oneof![
        6 => prop::collection::vec(query, 1..4).prop_map(Step::Ask),
        4 => prop_oneof![1_i64..80, 600_i64..1200, 3000_i64..9000, 80_000_i64..200_000].prop_map(Step::Wait),
        1 => prop_oneof![1_i64..80, 600_i64..9000, 80_000_i64..200_000].prop_map(Step::SetBack),
        1 => Just(Step::Break),
        1 => Just(Step::Mend),
        1 => (prop::option::of(750_u64..753), prop::option::of((0_i32..6, 1_i32..4))).prop_map(|(site, dates)| Step::Purge(site, dates)),
        2 => (750_u64..753).prop_map(Step::Revise),
    ]
}

/// Behaviour of a vendor.
#[derive(Clone, Debug)]
struct Odd {
    quirks: Quirks,
    faults: Faults,
}

/// The vendor's reaction to excessive requests and to reused connections.
const FAULTS: [&str; 7] = [
    "",
    "kept:reset",
    "kept:close,days>1:status=504",
    "sites>1:status=413",
    "days>2:status=500",
    "cells>3:status=500",
    "cells>7:status=413,kept:reset",
];

fn odd() -> impl Strategy<Value = Odd> {
    let quirks = prop_oneof![
        1 => Just(Quirks::default()),
        4 => any::<u64>().prop_map(|seed| odd_quirks(seed, [750, 751])),
    ];
    let faults = prop::sample::select(&FAULTS[..]);
    (quirks, faults).prop_map(|(quirks, faults)| Odd {
        quirks,
        faults: faults.parse().unwrap(),
    })
}

impl Odd {
    /// Whether an answer for several sites always shows the site of each row.
    fn tells_sites_apart(&self) -> bool {
        let mapping = self.quirks.mapping;
        let by_name = matches!(mapping, Mapping::Names | Mapping::NamedObjects);
        let is_named = self.quirks.names.is_empty() && self.quirks.respelt != Respelt::Name;
        by_name && is_named || mapping == Mapping::Entities
    }
}

/// The calls, one per line.
fn listed(calls: &[ReportCall]) -> String {
    let of_call = |call: &ReportCall| {
        let asked = call.request.as_ref();
        let asked = asked.map(|it| (it.sites.clone(), it.dates, it.metrics));
        format!("\n{:?} {asked:?}", call.status)
    };
    calls.iter().map(of_call).collect()
}

/// The cell that the cache may hold: the vendor's last figures, and the time of their request.
#[derive(Clone, Copy, Debug)]
struct Held {
    figure: Option<f64>,
    at: Timestamp,
}

struct Model {
    app: TestApp,
    odd: Odd,
    stale_while_revalidate: i64,
    held: HashMap<CellKey, Held>,
    broken: bool,
}

impl Model {
    fn ttl(&self, date: Date, fetched_at: Timestamp) -> i64 {
        let day = DaySpan::of(date, Some(&TimeZone::UTC));
        if fetched_at < day.ends {
            OPEN_TTL
        } else if fetched_at.duration_since(day.ends).as_secs() < SETTLE_AFTER {
            SETTLING_TTL
        } else {
            FINAL_TTL
        }
    }

    /// Records the fetches of `queries` queries; none of the fetched cells may have been fresh. A report of a single site may resolve
    /// doubts that a report of several left, and a report of one day may find out whether a failing vendor rejected the size.
    fn note_fetches(&mut self, queries: usize) -> Result<(), TestCaseError> {
        let now = self.app.clock.now();
        let mut fetched: HashMap<CellKey, usize> = HashMap::new();
        let calls = self.app.vendor.reports();
        let answered = calls.iter().filter(|call| call.status.is_some()).count();
        prop_assert!(
            answered <= MOST_CALLS * queries,
            "{answered} calls for {queries} queries: {}",
            listed(&calls)
        );
        let failed = calls
            .iter()
            .any(|call| call.status.is_some_and(|it| it >= 400));
        let most = 1 + usize::from(failed) + usize::from(!self.odd.tells_sites_apart());
        let mut before = HashMap::new();
        for call in &calls {
            let (Some(request), true) = (&call.request, call.whole) else {
                continue;
            };
            for cell in request.cells() {
                let times = fetched.entry(cell).or_default();
                *times += 1;
                prop_assert!(
                    *times <= most,
                    "{cell:?} was fetched {times} times at one moment: {}",
                    listed(&calls)
                );
                let held = self.held.get(&cell).copied();
                let held = before.entry(cell).or_insert(held);
                if let Some(held) = held {
                    let age = now.duration_since(held.at).as_secs_f64();
                    let ttl = self.ttl(cell.date, held.at) as f64;
                    prop_assert!(
                        age >= 0.9 * ttl,
                        "{cell:?} was fetched again at {age} s of {ttl} s"
                    );
                }
                let figures = self.app.vendor.figures(&cell);
                let sum = figures.into_iter().flatten().reduce(|sum, more| sum + more);
                self.held.insert(
                    cell,
                    Held {
                        figure: sum,
                        at: now,
                    },
                );
            }
        }
        self.app.vendor.reset_counts();
        Ok(())
    }

    async fn ask(&mut self, queries: &[Query]) -> Result<(), TestCaseError> {
        let texts: Vec<String> = queries.iter().map(|query| text(*query)).collect();
        let answers = join_all(texts.iter().map(|text| self.app.traffic(text))).await;
        let mut bodies = Vec::new();
        let mut revalidating = false;
        for answer in answers {
            let status = answer.status().as_u16();
            let cache = answer
                .headers()
                .get("cache-status")
                .map(|value| value.to_str().unwrap().to_owned());
            revalidating |= cache.is_some_and(|cache| cache.contains("revalidate"));
            bodies.push((status, answer.json::<Value>().await.unwrap()));
        }
        if revalidating {
            self.settle(&texts).await;
        }
        // A stale answer shows the cells held before the refresh that it began.
        let before = self.held.clone();
        self.note_fetches(queries.len())?;
        for (query, (status, body)) in queries.iter().zip(bodies) {
            self.check(*query, status, &body, &before)?;
        }
        Ok(())
    }

    /// Waits until the background refreshes are complete.
    async fn settle(&self, texts: &[String]) {
        if self.broken {
            // Nothing will arrive; fetches in progress fail at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        for text in texts {
            for _ in 0..500 {
                if self.app.rows(text).await["meta"]["stale"] == Value::Bool(false) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    fn check(
        &self,
        query: Query,
        status: u16,
        body: &Value,
        before: &HashMap<CellKey, Held>,
    ) -> Result<(), TestCaseError> {
        let now = self.app.clock.now();
        let (sites, metrics, dates) = meaning(query);
        let cell = |site: u64, metric, date: Date| CellKey {
            customer: pitaya::domain::site::CustomerId::new(123).unwrap(),
            site: SiteId::new(site).unwrap(),
            metric,
            bucket: pitaya::domain::bucket::VendorBucket::from_minutes(15).unwrap(),
            date,
        };
        let begun = |date: Date| DaySpan::of(date, Some(&TimeZone::UTC)).begins <= now;
        if status != 200 {
            prop_assert!(self.broken, "a healthy vendor, yet {status}: {body}");
            let servable = |held: &Held, date| {
                let age = now.duration_since(held.at).as_secs_f64();
                age < 0.9 * self.ttl(date, held.at) as f64 + STALE_IF_ERROR as f64
            };
            let all = sites.iter().all(|site| {
                dates.iter().filter(|date| begun(*date)).all(|date| {
                    metrics.iter().all(|metric| {
                        before
                            .get(&cell(*site, *metric, date))
                            .is_some_and(|held| servable(held, date))
                    })
                })
            });
            prop_assert!(
                !all,
                "{status} though everything could have been served: {body}"
            );
            return Ok(());
        }
        let stale = body["meta"]["stale"] == Value::Bool(true);
        for row in body["data"].as_array().unwrap() {
            let site = row["site_id"].as_u64().unwrap();
            let date: Date = row["time"].as_str().unwrap()[..10].parse().unwrap();
            for metric in &metrics {
                let served = row[metric.name()].as_f64();
                if !begun(date) {
                    prop_assert_eq!(served, None);
                    continue;
                }
                let key = cell(site, *metric, date);
                let grace = if stale {
                    self.stale_while_revalidate.max(STALE_IF_ERROR) as f64
                } else {
                    0.0
                };
                let good = [before.get(&key), self.held.get(&key)]
                    .into_iter()
                    .flatten()
                    .any(|held| {
                        let age = now.duration_since(held.at).as_secs_f64();
                        held.figure == served && age < self.ttl(date, held.at) as f64 + grace
                    });
                prop_assert!(
                    good,
                    "{key:?}: {served:?} is past its promise (stale: {stale}): {:?} {:?}",
                    before.get(&key),
                    self.held.get(&key)
                );
            }
        }
        Ok(())
    }

    /// Applies the vendor's quirks, and its fault if it is broken.
    fn set_faults(&self) {
        self.app.vendor.clear_faults();
        if self.broken {
            self.app.vendor.inject(Fault::new(FaultKind::Unsuccessful));
        }
        for fault in self.odd.faults.0.clone() {
            self.app.vendor.inject(fault);
        }
    }

    /// Sets the clock back, which the next query notices: the cache forgets everything from the future.
    async fn set_back(&mut self, seconds: i64) -> Result<(), TestCaseError> {
        self.app.clock.advance(SignedDuration::from_secs(-seconds));
        let now = self.app.clock.now();
        self.held.retain(|_, held| held.at <= now);
        self.ask(&[(1, 1, 0, 1)]).await
    }

    async fn purge(
        &mut self,
        site: Option<u64>,
        dates: Option<(i32, i32)>,
    ) -> Result<(), TestCaseError> {
        let dates = dates.map(|(from, len)| {
            DateRange::new(add_days(FIRST, from), add_days(FIRST, from + len - 1)).unwrap()
        });
        let parameters: Vec<String> = site
            .map(|site| format!("sites={site}"))
            .into_iter()
            .chain(dates.map(|dates| format!("dates={dates}")))
            .collect();
        let url = self.app.url(&format!("/v1/cache?{}", parameters.join("&")));
        let answer: Value = self
            .app
            .client
            .delete(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let before = self.held.len();
        self.held.retain(|cell, _| {
            !(site.is_none_or(|site| cell.site.get() == site)
                && dates.is_none_or(|dates| dates.contains(cell.date)))
        });
        prop_assert_eq!(
            answer["purged"].as_u64().unwrap(),
            (before - self.held.len()) as u64
        );
        Ok(())
    }
}

fn meaning((sites, metrics, from, days): Query) -> (Vec<u64>, Vec<VendorMetric>, DateRange) {
    let sites = (0..3)
        .filter(|bit| sites & (1 << bit) != 0)
        .map(|bit| 750 + bit)
        .collect();
    let metrics = [VendorMetric::Entrances, VendorMetric::Transactions]
        .into_iter()
        .zip([1, 2])
        .filter_map(|(metric, bit)| (metrics & bit != 0).then_some(metric));
    (
        sites,
        metrics.collect(),
        DateRange::new(add_days(FIRST, from), add_days(FIRST, from + days - 1)).unwrap(),
    )
}

fn text(query: Query) -> String {
    let (sites, metrics, dates) = meaning(query);
    let metrics: Vec<_> = metrics.iter().map(|metric| metric.name()).collect();
    let sites: Vec<String> = sites.iter().map(u64::to_string).collect();
    format!(
        "sites={}&dates={dates}&metric={}&bucket=day",
        sites.join(","),
        metrics.join(","),
    )
}

async fn run(
    odd: Odd,
    steps: Vec<Step>,
    stale_while_revalidate: i64,
    on_disk: bool,
) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let disk = if on_disk {
        folder.path().to_str().unwrap()
    } else {
        ""
    };
    let app = Setup::default()
        .with("CACHE__DISK__PATH", disk)
        .with("TIMEZONE", "UTC")
        .with("CACHE__FINAL_TTL", "2h")
        .with("CACHE__STALE_IF_ERROR", "1h")
        .with(
            "CACHE__STALE_WHILE_REVALIDATE",
            &format!("{stale_while_revalidate}s"),
        )
        .with("UPSTREAM__MAX_ATTEMPTS", "1")
        // Tokens are not the subject here.
        .vendor(|vendor| {
            vendor.tokens.ttl = Duration::from_secs(10 * 365 * 86_400);
            vendor.quirks = odd.quirks.clone();
        })
        .at(START)
        .start()
        .await;
    let mut model = Model {
        app,
        odd,
        stale_while_revalidate,
        held: HashMap::new(),
        broken: false,
    };
    model.set_faults();
    for step in steps {
        match step {
            Step::Ask(queries) => model.ask(&queries).await?,
            Step::Wait(seconds) => model.app.clock.advance(SignedDuration::from_secs(seconds)),
            Step::SetBack(seconds) => model.set_back(seconds).await?,
            Step::Break => {
                model.broken = true;
                model.set_faults();
            }
            Step::Mend => {
                model.broken = false;
                model.set_faults();
            }
            Step::Purge(site, dates) => model.purge(site, dates).await?,
            Step::Revise(site) => model.app.vendor.revise(Revision {
                site: SiteId::new(site),
                dates: None,
            }),
        }
    }
    Ok(())
}

fn check_interleavings(stale_while_revalidate: i64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    let steps = prop::collection::vec(step(), 1..30);
    runner
        .run(&(odd(), steps, any::<bool>()), |(odd, steps, on_disk)| {
            runtime.block_on(run(odd, steps, stale_while_revalidate, on_disk))
        })
        .unwrap();
}

#[test]
fn no_interleaving_serves_past_a_promise_or_fetches_fresh_cells() {
    check_interleavings(0);
}

#[test]
fn no_interleaving_does_so_with_background_refreshes() {
    check_interleavings(300);
}
