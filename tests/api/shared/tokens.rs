//! Replicas share the tokens of a vendor that revokes all tokens if it receives a refresh token twice.

use std::time::Instant;

use futures_util::future::join_all;
use pitaya::simulator::Rotation;

use super::*;

/// The life of an ID token. Half of it exceeds the pause in renewals after the store is emptied.
const LIFE: Duration = Duration::from_secs(8);

async fn rotating() -> Simulator {
    let settings = Settings {
        tokens: TokenSettings {
            ttl: LIFE,
            rotation: Rotation::Rotate,
            ..TokenSettings::default()
        },
        ..Settings::default()
    };
    Simulator::start(settings, Clock::system()).await.unwrap()
}

/// Sends a query for one day that no query has asked for before.
async fn ask_anew(pitaya: &Binary, day: usize) {
    let query = DAY.replace("2026-02-18", &format!("2026-01-{day:02}"));
    pitaya.rows(&query).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_replicas_one_renews_though_the_store_is_emptied_twice() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = rotating().await;
    let began = Instant::now();
    let none = [];
    let five = (0..5).map(|_| replica(&vendor, &redis, &none));
    let five = join_all(five).await;

    for (renewals, day) in [(2, 1), (3, 6), (4, 11)] {
        vendor.wait_for_refreshes(renewals).await;
        let asked = five.iter().enumerate();
        join_all(asked.map(|(nth, pitaya)| ask_anew(pitaya, day + nth))).await;
        if day < 11 {
            redis.kill();
            redis.run();
        }
    }

    assert_eq!(vendor.reused_tokens(), 0);
    // The first renewal, and one at each half of a life.
    let most = began.elapsed().as_secs() / (LIFE / 2).as_secs() + 1;
    assert!(
        vendor.refresh_count() <= most,
        "{} renewals",
        vendor.refresh_count()
    );
}

#[tokio::test]
async fn without_the_store_a_replica_never_begins_with_a_token_that_another_may_have_used() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    redis.kill();
    let vendor = rotating().await;
    let url = redis.url();
    let shared = [("CACHE__SHARED__URLS", &*url)];

    let pitaya = Binary::listen(&vendor, &shared).await;
    let refused = pitaya.traffic(DAY).await;

    let (status, slug, _) = problem(refused).await;
    assert_eq!((status, &*slug), (503, "upstream-credentials"));
    assert_eq!(vendor.refresh_count(), 0);
    let ready = pitaya.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    let body: Value = ready.json().await.unwrap();
    assert_eq!(body["checks"]["upstream_token_sharing"]["status"], "warn");
    redis.run();
    vendor.wait_for_refreshes(1).await;
    while pitaya.traffic(DAY).await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(vendor.refresh_count(), 1);
}
