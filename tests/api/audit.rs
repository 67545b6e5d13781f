//! Audits: Pitaya requests held days again in another shape, and compares the figures.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use pitaya::domain::dates::DateRange;
use pitaya::domain::site::SiteId;
use pitaya::simulator::{
    ComputedAt, EmptyBuckets, Fault, Quirks, RepeatedHour, Revision, Simulator,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::support::{Binary, Setup, TestApp, column, odd_quirks, true_entrances};

const BATCH: &str = "sites=750,751,752,1000,1001&dates=2026-02-02..2026-02-18&metric=entrances,transactions,dwell_time&bucket=day";
const TYLER: &str = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=day";

fn audited(rate: &str) -> Setup {
    Setup::default().with("AUDIT__RATE", rate)
}

/// Waits for `calls` more vendor calls. All of them are audits, since nobody else calls the vendor.
async fn calls(app: &TestApp, calls: u64) {
    app.vendor
        .wait_for_reports(app.vendor.report_count() + calls)
        .await;
}

/// Whether the cells of a query are held, so that it needs no vendor call.
async fn is_held(app: &TestApp, query: &str) -> bool {
    let response = app
        .get(&format!("/v1/traffic?{query}"))
        .send()
        .await
        .unwrap();
    response.headers()["cache-status"]
        .to_str()
        .unwrap()
        .starts_with("pitaya; hit")
}

/// The number of audits with that outcome, from a real process, which shares its metrics with no other test.
async fn audits(pitaya: &Binary, outcome: &str) -> f64 {
    let metrics = pitaya.metrics().await;
    let mut sum = 0.0;
    let mut checks = 0;
    for check in ["alone", "one_day", "hours"] {
        let name = format!("pitaya_audits_total{{check=\"{check}\",outcome=\"{outcome}\"}} ");
        for line in metrics.lines() {
            if let Some(number) = line.strip_prefix(&name) {
                sum += number.parse::<f64>().unwrap();
                checks += 1;
            }
        }
    }
    assert_eq!(checks, 3, "{metrics}");
    sum
}

async fn until(pitaya: &Binary, outcome: &str, least: f64) {
    while audits(pitaya, outcome).await < least {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn vendor(quirks: Quirks) -> Simulator {
    let settings = pitaya::simulator::Settings {
        quirks,
        ..pitaya::simulator::Settings::default()
    };
    Simulator::start(settings, pitaya::clock::Clock::system())
        .await
        .unwrap()
}

/// Fills the cache with `queries`, and waits for at least `least` agreeing audits, whose number it returns. Meanwhile, the vendor makes
/// each of `changes`. No audit may raise an alarm, and at most one audit for each change may fail.
async fn audit_honest(
    vendor: Simulator,
    variables: &[(&str, &str)],
    queries: &[String],
    changes: &[Revision],
    least: f64,
) -> f64 {
    let shown = format!("{variables:?}");
    let pitaya = Binary::serve(&vendor, variables).await;
    for query in queries {
        pitaya.rows(query).await;
    }
    for (nth, change) in (1_u8..).zip(changes) {
        until(&pitaya, "agree", least * f64::from(nth) / 10.0).await;
        vendor.revise(*change);
    }

    until(&pitaya, "agree", least).await;

    if audits(&pitaya, "disagree").await > 0.0 {
        pitaya.signal("TERM");
        panic!("{shown}: {}", pitaya.ended().await.log);
    }
    let failed = audits(&pitaya, "failed").await;
    assert!(failed <= changes.len() as f64, "{failed}: {shown}");
    audits(&pitaya, "agree").await
}

#[tokio::test]
async fn an_honest_vendor_never_alarms_whatever_its_quirks() {
    let late = Quirks {
        computed_at: ComputedAt::Ago(Duration::from_secs(3600)),
        ..Quirks::default()
    };
    let odd = (0..5).map(|seed| odd_quirks(seed, [750, 751]));
    let vendors = odd.map(|quirks| (quirks, "America/Chicago", 30.0));
    // Two days; the clock changes on one of them.
    let dst = BATCH.replace("2026-02-02..2026-02-18", "2025-11-01..2025-11-02");
    let queries = [BATCH.to_owned(), dst];
    for (quirks, zone, least) in vendors.chain([(late, "", 15.0)]) {
        let variables = [("AUDIT__RATE", "1000/s"), ("TIMEZONE", zone)];
        println!("{quirks:?}");
        audit_honest(vendor(quirks).await, &variables, &queries, &[], least).await;
    }
}

/// Each of 40 vendors has its own quirks, size limits and zone, and changes some of its past meanwhile.
#[tokio::test]
#[ignore = "takes minutes; run it by name"]
async fn an_honest_vendor_never_alarms_in_ten_thousand_audits() {
    const VENDORS: u64 = 40;
    const ZONES: [&str; 4] = [
        "America/Chicago",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "America/Santiago",
    ];
    let mut sum = 0.0;
    for seed in 0..VENDORS {
        let random = &mut SmallRng::seed_from_u64(seed);
        let empty = [EmptyBuckets::Absent, EmptyBuckets::Zero, EmptyBuckets::Null];
        let computed_at = [
            ComputedAt::Now,
            ComputedAt::Ago(Duration::from_secs(3600)),
            ComputedAt::Absent,
        ];
        let quirks = Quirks {
            empty: *empty.choose(random).unwrap(),
            repeated_hour: *[RepeatedHour::TwoRows, RepeatedHour::Summed]
                .choose(random)
                .unwrap(),
            computed_at: *computed_at.choose(random).unwrap(),
            ..odd_quirks(seed, [1000, 1001])
        };
        println!("{quirks:?}");
        let sites = random.random_range(2..9).to_string();
        let days = random.random_range(1..6).to_string();
        let zone = ZONES.choose(random).unwrap();
        let settings = pitaya::simulator::Settings {
            quirks,
            timezone: TimeZone::get(zone).unwrap(),
            ..pitaya::simulator::Settings::default()
        };
        let vendor = Simulator::start(settings, pitaya::clock::Clock::system());
        let variables = [
            ("AUDIT__RATE", "1000/s"),
            ("TIMEZONE", zone),
            ("UPSTREAM__MAX_SITES_PER_REQUEST", &sites),
            ("UPSTREAM__MAX_DAYS_PER_REQUEST", &days),
            (
                "UPSTREAM__BASE_BUCKET",
                ["15m", "30m"].choose(random).unwrap(),
            ),
        ];
        // Within these dates, the clocks of all zones but one change.
        let queries = ["2025-10-02..2025-10-06", "2025-10-31..2025-11-03", "2026-03-06..2026-03-10", "2026-04-03..2026-04-06"].map(|dates| {
            format!("sites=1000,1001,1002,1003,1004,1005,1006&dates={dates}&metric=entrances,transactions,dwell_time&bucket=day")
        });
        let days = [
            "2025-10-03",
            "2025-11-01",
            "2026-03-07",
            "2026-03-09",
            "2026-04-05",
        ];
        let changes = (1000..).zip(days).map(|(site, day)| Revision {
            site: SiteId::new(site),
            dates: DateRange::day(day.parse().unwrap()),
        });
        let changes: Vec<Revision> = changes.collect();

        let vendor = vendor.await.unwrap();
        sum += audit_honest(vendor, &variables, &queries, &changes, 250.0).await;
        println!("{sum} audits of {} vendors", seed + 1);
    }
    println!("{sum} audits of {VENDORS} vendors agreed; none disagreed");
    assert!(sum >= 10_000.0);
}

#[tokio::test]
async fn a_vendor_that_swaps_two_sites_in_batches_is_caught_and_the_day_is_forgotten() {
    let lying = Quirks {
        swapped_sites: true,
        ..Quirks::default()
    };
    let vendor = vendor(lying).await;
    let pitaya = Binary::serve(&vendor, &[("AUDIT__RATE", "100/s")]).await;
    let wrong = pitaya.rows(TYLER).await;
    let truth = true_entrances(&vendor, 750, "2026-02-18");
    assert_ne!(column(&wrong, "entrances")[0], truth);

    until(&pitaya, "disagree", 2.0).await;

    let metrics = pitaya.metrics().await;
    assert!(
        metrics.contains("pitaya_audits_total{check=\"alone\",outcome=\"disagree\"} 2"),
        "{metrics}"
    );
    let calls = vendor.report_count();
    let one = TYLER.replace("750,751", "750");
    let right = pitaya.rows(&one).await;
    assert_eq!(column(&right, "entrances")[0], truth);
    assert!(vendor.report_count() > calls);
    pitaya.signal("TERM");
    let log = pitaya.ended().await.log;
    let mut lines = log
        .lines()
        .filter(|line| line.contains("Pitaya drops the day"));
    let line: Value = lines
        .find(|line| line.contains("\"site\":\"750\""))
        .map(|line| serde_json::from_str(line).unwrap())
        .expect(&log);
    let figure = |name: &str| line[name].as_f64().unwrap();
    assert_eq!(figure("other_shape"), truth.as_f64().unwrap());
    assert_eq!(
        figure("held"),
        column(&wrong, "entrances")[0].as_f64().unwrap()
    );
    assert_eq!(line["check"], "alone");
}

#[tokio::test]
async fn a_vendor_whose_hours_contradict_its_quarter_hours_is_caught() {
    let lying = Quirks {
        uneven_hours: true,
        ..Quirks::default()
    };
    let vendor = vendor(lying).await;
    let pitaya = Binary::serve(&vendor, &[("AUDIT__RATE", "100/s")]).await;
    pitaya.rows(&TYLER.replace("750,751", "750")).await;

    until(&pitaya, "disagree", 1.0).await;

    let metrics = pitaya.metrics().await;
    assert!(
        metrics.contains("pitaya_audits_total{check=\"hours\",outcome=\"disagree\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_day_that_the_vendor_has_changed_is_refreshed_without_an_alarm() {
    let vendor = vendor(Quirks::default()).await;
    let pitaya = Binary::serve(&vendor, &[("AUDIT__RATE", "100/s")]).await;
    pitaya.rows(TYLER).await;
    until(&pitaya, "agree", 3.0).await;

    vendor.revise(Revision {
        site: SiteId::new(750),
        dates: DateRange::day("2026-02-18".parse().unwrap()),
    });

    loop {
        let page = pitaya
            .get("/v1/revisions")
            .await
            .json::<Value>()
            .await
            .unwrap();
        if let Some(event) = page["data"].get(0) {
            let truth = true_entrances(&vendor, 750, "2026-02-18");
            assert_eq!(event["new"], truth);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(audits(&pitaya, "disagree").await, 0.0);
}

#[tokio::test]
async fn a_failing_vendor_proves_nothing() {
    let vendor = vendor(Quirks::default()).await;
    let pitaya = Binary::serve(
        &vendor,
        &[("AUDIT__RATE", "100/s"), ("UPSTREAM__MAX_ATTEMPTS", "1")],
    )
    .await;
    pitaya.rows(TYLER).await;
    vendor.inject(Fault::status(400).times(8));

    until(&pitaya, "failed", 1.0).await;

    assert_eq!(audits(&pitaya, "disagree").await, 0.0);
}

#[tokio::test]
async fn days_that_may_change_are_never_audited_and_nothing_is_without_a_rate() {
    let young = audited("1000/s").at("2026-02-20T12:00:00Z").start().await;
    let unset = Setup::default().start().await;
    let zero = audited("0/h").start().await;
    let apps = [young, unset, zero];
    for app in &apps {
        app.rows(TYLER).await;
    }
    let busy = audited("1000/s").start().await;
    busy.rows(TYLER).await;

    calls(&busy, 5).await;

    for app in &apps {
        assert_eq!(app.vendor.report_count(), 1);
    }
}

#[tokio::test]
async fn no_audit_begins_while_a_caller_waits() {
    let app = audited("1000/s").start().await;
    app.rows(TYLER).await;
    calls(&app, 3).await;

    let hold = app.vendor.hold_reports();
    let waiting = "sites=760&dates=2026-02-18&metric=entrances&bucket=day";
    let asked = async || {
        let reports = app.vendor.reports();
        let of = |site: u64| {
            let reports = reports.iter().filter_map(|call| call.request.as_ref());
            reports
                .filter(|it| it.sites.contains(&SiteId::new(site).unwrap()))
                .count()
        };
        (of(750) + of(751), of(760))
    };
    let (answer, ()) = tokio::join!(app.rows(waiting), async {
        while asked().await.1 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // One audit may have begun before the caller arrived.
        let before = asked().await.0;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(asked().await.0, before);
        hold.release();
    });

    let truth = true_entrances(&app.vendor, 760, "2026-02-18");
    assert_eq!(column(&answer, "entrances"), [truth]);
    calls(&app, 2).await;
}

#[tokio::test]
async fn a_reload_applies_a_new_rate() {
    let app = Setup::default().start().await;
    app.rows(TYLER).await;
    assert!(is_held(&app, TYLER).await);

    let (changed, restart) = app.reload("[audit]\nrate = \"1000/s\"").await;
    app.clock.advance(SignedDuration::from_mins(1));

    assert_eq!((changed, restart), (vec!["audit.rate".to_owned()], vec![]));
    calls(&app, 3).await;
}
