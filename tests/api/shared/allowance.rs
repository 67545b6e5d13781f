//! What the vendor allows all replicas together: its places, and its `Retry-After`.

use pitaya::simulator::RetryAfter;

use super::*;

/// Four places at the vendor, and reports of one day.
const PLACES: [(&str, &str); 4] = [
    PATIENT[0],
    PATIENT[1],
    ("UPSTREAM__MAX_CONCURRENCY", "4"),
    ("UPSTREAM__MAX_DAYS_PER_REQUEST", "1"),
];

/// A query that needs twelve reports.
fn twelve(site: u64) -> String {
    format!("sites={site}&dates=2026-02-01..2026-02-12&metric=entrances&bucket=day")
}

async fn places(pitaya: &Binary) -> String {
    let metrics = pitaya.metrics().await;
    let mut lines = metrics.lines();
    let own = lines.find_map(|line| line.strip_prefix("pitaya_upstream_own_places "));
    own.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_together_use_the_places_of_one_and_a_single_busy_one_gets_all() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let a = replica(&vendor, &redis, &PLACES).await;
    let b = replica(&vendor, &redis, &PLACES).await;
    let hold = vendor.hold_reports();
    let (of_a, of_b) = (twelve(750), twelve(751));

    let asked = async {
        // The second replica holds nothing, so the first gets all places.
        vendor.wait_for_reports(4).await;
        let second = b.rows(&of_b);
        let released = async {
            // The second replica gets one place at once, and the others when the first gives them up.
            vendor.wait_for_reports(5).await;
            hold.release();
        };
        tokio::join!(second, released).0
    };
    let (first, second) = tokio::join!(a.rows(&of_a), asked);

    for (answer, site) in [(first, 750), (second, 751)] {
        let truth: Vec<_> = (1..=12)
            .map(|day| true_entrances(&vendor, site, &format!("2026-02-{day:02}")))
            .collect();
        assert_eq!(column(&answer, "entrances"), truth);
    }
    let counts = vendor.counts();
    assert_eq!(counts.reports, 24);
    assert!(counts.peak_reports <= 5, "{}", counts.peak_reports);
    // A replica gives up the places that it does not want.
    while [places(&a).await, places(&b).await] != ["1", "1"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_replica_that_wanted_nothing_has_an_equal_part_of_the_places_once_the_store_hangs() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let idle = replica(&vendor, &redis, &PLACES[2..]).await;
    let _other = replica(&vendor, &redis, &PLACES[2..]).await;
    pulses(&redis, 2).await;
    let hold = vendor.hold_reports();
    redis.signal("STOP");

    let asked = twelve(750);
    let released = async {
        vendor.wait_for_reports(2).await;
        hold.release();
    };
    let (answer, ()) = tokio::join!(idle.rows(&asked), released);

    assert_eq!(column(&answer, "entrances").len(), 12);
    redis.signal("CONT");
}

/// Waits until each replica has pulsed `times` more times.
async fn pulses(redis: &Redis, times: usize) {
    let live = redis.command(&["KEYS", "*:live"]);
    let seen = || redis.command(&["HVALS", live.trim()]);
    for _ in 0..times {
        let before: BTreeSet<String> = seen().lines().map(str::to_owned).collect();
        while seen().lines().any(|pulse| before.contains(pulse)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_vendor_that_throttles_one_replica_is_not_called_by_another() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let a = replica(&vendor, &redis, &PATIENT).await;
    let b = replica(&vendor, &redis, &PATIENT).await;
    vendor.inject(Fault::throttled(RetryAfter::Seconds(3600)).times(1));

    let (first, _, _) = problem(a.traffic(DAY).await).await;
    pulses(&redis, 3).await;
    let (second, slug, _) = problem(b.traffic(&DAY.replace("750", "751")).await).await;

    assert_eq!([first, second], [503, 503]);
    assert_eq!(slug, "upstream-unavailable");
    assert_eq!(vendor.report_count(), 1);
}
