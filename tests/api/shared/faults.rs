//! The store dies, hangs, is emptied, fills up or holds forged values, or a replica dies.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_fails_if_the_store_dies_hangs_or_is_emptied() {
    let Some(mut redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let replicas = [
        replica(&vendor, &redis, &[]).await,
        replica(&vendor, &redis, &[]).await,
    ];
    let queries = queries(120, 4);
    let parts: Vec<_> = queries.chunks(30).collect();

    // `ask` accepts only answers with status 200.
    tokio::join!(ask(&replicas, parts[0]), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        redis.signal("STOP");
    });
    ask(&replicas, parts[1]).await;
    redis.signal("CONT");
    tokio::join!(ask(&replicas, parts[2]), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        redis.command(&["FLUSHALL"]);
    });
    tokio::join!(ask(&replicas, parts[3]), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        redis.kill();
    });

    for pitaya in &replicas {
        let answer = pitaya.rows(DAY).await;
        assert_eq!(
            column(&answer, "entrances"),
            [true_entrances(&vendor, 750, "2026-02-18")]
        );
        let ready = pitaya.get("/readyz").await;
        assert_eq!(ready.status(), 200);
    }
}

#[tokio::test]
async fn readiness_warns_only_while_the_store_hangs() {
    let Some(redis) = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"])
    else {
        return;
    };
    let vendor = vendor().await;
    let pitaya = replica(&vendor, &redis, &[]).await;

    redis.signal("STOP");
    pitaya.until_state_is("cache_tier", &["away"]).await;
    let hung = pitaya.get("/readyz").await;
    let status = hung.status();
    let hung: Value = hung.json().await.unwrap();
    pitaya.rows(DAY).await;
    redis.signal("CONT");
    pitaya.until_state_is("cache_tier", &["connected"]).await;
    let back: Value = pitaya.get("/readyz").await.json().await.unwrap();

    assert_eq!(status, 200);
    assert_eq!(hung["checks"]["cache_tier"]["status"], "warn", "{hung}");
    assert_eq!(hung["status"], "warn", "{hung}");
    assert_eq!(back["checks"]["cache_tier"]["status"], "pass", "{back}");
}

#[tokio::test]
async fn a_full_store_is_still_read_and_fails_no_query() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let [a, b, _c] = replicas(&vendor, &redis).await;
    a.rows(DAY).await;
    a.until_written().await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    vendor.reset_counts();

    b.rows(DAY).await;
    assert_eq!(vendor.report_count(), 0);
    b.rows(MONTH).await;

    b.until_state_is("cache_tier", &["refusing_writes"]).await;
    assert_eq!(purge(&b, "?sites=750").await.status(), 200);
}

#[tokio::test]
async fn a_dead_replica_delays_the_others_for_one_lease() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let short = [
        ("CACHE__SHARED__TIMEOUT", "200ms"),
        ("CACHE__SHARED__LEASE", "2s"),
    ];
    let first = replica(&vendor, &redis, &short).await;
    let second = replica(&vendor, &redis, &short).await;
    let hold = vendor.hold_reports();
    let url = first.url(&format!("/v1/traffic?{DAY}"));
    let client = first.client.clone();
    let dying = tokio::spawn(async move { client.get(url).send().await.is_ok() });
    while redis.command(&["KEYS", "*:l"]).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    first.kill().await;
    drop(hold);
    let answer = second.rows(DAY).await;

    assert!(!dying.await.unwrap());
    assert_eq!(
        column(&answer, "entrances"),
        [true_entrances(&vendor, 750, "2026-02-18")]
    );
}

#[tokio::test]
async fn a_forged_or_moved_value_is_ignored() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let vendor = vendor().await;
    let [a, b, c] = replicas(&vendor, &redis).await;
    a.rows(&DAY.replace("750", "750,751")).await;
    a.until_written().await;
    let keys = redis.command(&["KEYS", "*.75[01]}:entrances:*"]);
    let keys: Vec<&str> = keys.lines().collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    redis.command(&["COPY", keys[0], keys[1], "REPLACE"]);
    redis.command(&["SETRANGE", keys[0], "40", "planted"]);
    vendor.reset_counts();

    let answer = b.rows(&DAY.replace("750", "750,751")).await;

    let truth = [750, 751].map(|site| true_entrances(&vendor, site, "2026-02-18"));
    assert_eq!(column(&answer, "entrances"), truth);
    assert_eq!(vendor.cell_fetches().len(), 2);
    // The fetched page has replaced the forged one.
    b.until_written().await;
    vendor.reset_counts();
    c.rows(&DAY.replace("750", "750,751")).await;
    assert_eq!(vendor.report_count(), 0);
}
