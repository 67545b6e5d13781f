//! Replicas that share a store: real processes, and a real Redis server.

mod allowance;
mod faults;
mod links;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use pitaya::clock::Clock;
use pitaya::simulator::{Fault, FaultKind, Settings, Simulator, TokenSettings};
use serde_json::Value;

use crate::support::redis::Redis;
use crate::support::{Binary, cache_status, column, problem, true_entrances};

const DAY: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";
const MONTH: &str =
    "sites=750,751,752&dates=2026-01-20..2026-02-18&metric=entrances,dwell_time&bucket=day";

/// A vendor whose tokens outlive every test.
async fn vendor() -> Simulator {
    let settings = Settings {
        tokens: TokenSettings {
            ttl: Duration::from_hours(24),
            ..TokenSettings::default()
        },
        ..Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

async fn replica(vendor: &Simulator, redis: &Redis, more: &[(&str, &str)]) -> Binary {
    let url = redis.url();
    let shared = [
        ("CACHE__SHARED__URLS", &*url),
        ("CACHE__SHARED__SECRET", "the-same-for-all"),
    ];
    let variables = [&shared[..], more].concat();
    let pitaya = Binary::serve(vendor, &variables).await;
    // The tests' server has no memory limit.
    pitaya
        .until_state_is("cache_tier", &["eviction_policy", "connected"])
        .await;
    redis.settle();
    pitaya
}

/// Lets a replica wait for the store as long as a busy machine needs.
const PATIENT: [(&str, &str); 2] = [
    ("CACHE__SHARED__TIMEOUT", "10s"),
    ("CACHE__SHARED__LEASE", "100s"),
];

async fn replicas(vendor: &Simulator, redis: &Redis) -> [Binary; 3] {
    replicas_with(vendor, redis, PATIENT).await
}

async fn replicas_with(
    vendor: &Simulator,
    redis: &Redis,
    patience: [(&str, &str); 2],
) -> [Binary; 3] {
    // All replicas get the same refresh token, though the first has replaced it by then.
    let token = vendor.refresh_token();
    let same = [&patience[..], &[("UPSTREAM__REFRESH_TOKEN", &token)]].concat();
    [
        replica(vendor, redis, &same).await,
        replica(vendor, redis, &same).await,
        replica(vendor, redis, &same).await,
    ]
}

async fn purge(pitaya: &Binary, query: &str) -> reqwest::Response {
    let url = pitaya.url(&format!("/v1/cache{query}"));
    pitaya.client.delete(url).send().await.unwrap()
}

/// A pseudorandom number.
fn random(nth: u64) -> u64 {
    nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Overlapping queries in random order: the first of two sites, and the first and last day in February.
fn overlapping(number: u64, sites: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    (0..number).map(random).map(move |random| {
        let (site, random) = (750 + random % sites, random / sites);
        let first = 1 + random % 14;
        (site, first, first + random / 14 % 14)
    })
}

fn queries(number: u64, sites: u64) -> Vec<String> {
    let text = |(site, first, last)| {
        format!(
            "sites={site},{}&dates=2026-02-{first:02}..2026-02-{last:02}&metric=entrances&bucket=day",
            site + 1
        )
    };
    overlapping(number, sites).map(text).collect()
}

/// The sites and days that these queries need.
fn needed(number: u64, sites: u64) -> BTreeSet<(u64, u64)> {
    let days = overlapping(number, sites).flat_map(|(site, first, last)| {
        let days = first..=last;
        days.flat_map(move |day| [(site, day), (site + 1, day)])
    });
    days.collect()
}

/// Sends each query to a random replica, a little after the one before, and not too many at a time.
async fn ask(replicas: &[Binary], queries: &[String]) {
    let paced = stream::iter(queries.iter().zip(0..)).then(async |asked| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        asked
    });
    let asked = paced.map(|(query, nth)| {
        let chosen = random(nth + 1_000_000) as usize % replicas.len();
        replicas[chosen].rows(query)
    });
    asked.buffer_unordered(48).for_each(async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_figure_that_1500_queries_to_three_replicas_need_is_fetched_once() {
    const SITES: u64 = 8;
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    // If a busy machine loses the answer to a claim, its lease must end before the other queries give up.
    let patience = [
        ("CACHE__SHARED__TIMEOUT", "3s"),
        ("CACHE__SHARED__LEASE", "30s"),
    ];
    let replicas = replicas_with(&vendor, &redis, patience).await;
    // Slow enough that other replicas ask for the same figures meanwhile.
    vendor.inject(Fault::new(FaultKind::Delay(Duration::from_millis(60))));

    ask(&replicas, &queries(1500, SITES)).await;
    vendor.clear_faults();

    let fetches = vendor.cell_fetches();
    assert_eq!(fetches.len(), needed(1500, SITES).len());
    let again: Vec<_> = fetches.iter().filter(|(_, times)| **times > 1).collect();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(vendor.refresh_count(), 1);
    for (site, day) in [(750, 3), (754, 9)] {
        let date = format!("2026-02-{day:02}");
        let query = DAY
            .replace("750", &site.to_string())
            .replace("2026-02-18", &date);
        for pitaya in &replicas {
            let answer = pitaya.rows(&query).await;
            assert_eq!(
                column(&answer, "entrances"),
                [true_entrances(&vendor, site, &date)]
            );
        }
    }
}

#[tokio::test]
async fn a_new_replica_fetches_nothing_that_others_have_shared() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let first = replica(&vendor, &redis, &PATIENT).await;
    let before = first.rows(MONTH).await;
    let sites = first.get("/v1/sites").await.text().await.unwrap();
    first.until_written().await;
    first.kill().await;
    vendor.reset_counts();

    let second = replica(&vendor, &redis, &PATIENT).await;
    let response = second.traffic(MONTH).await;

    assert!(cache_status(&response).starts_with("pitaya; hit; ttl="));
    let after: Value = response.json().await.unwrap();
    assert_eq!(after, before);
    assert_eq!(second.get("/v1/sites").await.text().await.unwrap(), sites);
    assert_eq!(vendor.report_count(), 0);
}

#[tokio::test]
async fn a_purge_on_one_replica_purges_all() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let [a, b, c] = replicas(&vendor, &redis).await;
    for pitaya in [&a, &b, &c] {
        pitaya.rows(MONTH).await;
    }
    vendor.reset_counts();

    let purged = purge(&a, "?sites=751&dates=2026-02-01..2026-02-02").await;
    assert_eq!(purged.status(), 200);
    for pitaya in [&b, &c, &a] {
        pitaya.rows(MONTH).await;
    }

    let asked: BTreeSet<_> = vendor
        .cell_fetches()
        .iter()
        .map(|(cell, times)| (cell.site.get(), cell.date.to_string(), *times))
        .collect();
    let expected = ["2026-02-01", "2026-02-02"].map(|date| (751, date.to_owned(), 1));
    assert_eq!(asked, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_purge_on_one_replica_ends_a_fetch_of_another() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let [a, b, c] = replicas(&vendor, &redis).await;
    let hold = vendor.hold_reports();
    let url = b.url(&format!("/v1/traffic?{DAY}"));
    let client = b.client.clone();
    let fetching = tokio::spawn(async move { client.get(url).send().await.unwrap().status() });
    while redis.command(&["KEYS", "*:l"]).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert_eq!(purge(&a, "?sites=750").await.status(), 200);
    drop(hold);
    assert_eq!(fetching.await.unwrap(), 200);
    b.until_written().await;
    vendor.reset_counts();
    for pitaya in [&c, &b, &a] {
        pitaya.rows(DAY).await;
    }

    assert_eq!(vendor.report_count(), 1);
}

#[tokio::test]
async fn a_purge_is_503_until_the_store_is_back() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let [a, b, _c] = replicas(&vendor, &redis).await;
    b.rows(DAY).await;
    redis.kill();
    a.until_state_is("cache_tier", &["away"]).await;
    b.until_state_is("cache_tier", &["away"]).await;

    let refused = purge(&a, "?sites=750").await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, slug, _) = problem(refused).await;
    assert_eq!((status, &*slug), (503, "store-unavailable"));
    redis.run();
    for pitaya in [&a, &b] {
        pitaya
            .until_state_is("cache_tier", &["eviction_policy"])
            .await;
    }
    // The pending purge is made before any later one, so once this one is complete, both are.
    while purge(&a, "?sites=1").await.status() != 200 {}
    vendor.reset_counts();

    b.rows(DAY).await;
    assert_eq!(vendor.report_count(), 1);
}

#[tokio::test]
async fn the_documented_rights_suffice_and_no_other_key_is_touched() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let guide = std::fs::read_to_string("deploy/README.md").unwrap();
    let rights = guide
        .lines()
        .find_map(|line| line.strip_prefix("- The user needs `"));
    let rights = rights.unwrap().split('`').next().unwrap();
    let user = ["ACL", "SETUSER", "pitaya", "reset", "on", ">open sesame"];
    let user: Vec<&str> = user.into_iter().chain(rights.split(' ')).collect();
    assert_eq!(redis.command(&user), "OK");
    redis.command(&[
        "ACL", "SETUSER", "default", "-@all", "+acl", "+config", "+keys", "+set",
    ]);
    let vendor = vendor().await;
    let as_user = [
        ("CACHE__SHARED__USERNAME", "pitaya"),
        ("CACHE__SHARED__PASSWORD", "open sesame"),
    ];
    let as_user = [&PATIENT[..], &as_user].concat();
    let a = replica(&vendor, &redis, &as_user).await;
    let b = replica(&vendor, &redis, &as_user).await;

    a.rows(MONTH).await;
    a.until_written().await;
    b.rows(MONTH).await;
    assert_eq!(purge(&a, "?sites=750").await.status(), 200);
    b.rows(MONTH).await;

    let denied = redis.command(&["ACL", "LOG"]);
    let lines = denied.lines().filter(|line| !line.contains("setinfo"));
    let of_commands = lines.filter(|line| line.trim_start().starts_with("object"));
    assert_eq!(of_commands.count(), 0, "{denied}");
    for (check, state) in [
        ("cache_tier", "eviction_policy"),
        ("upstream_token_sharing", "shared"),
    ] {
        b.until_state_is(check, &[state]).await;
    }
}
