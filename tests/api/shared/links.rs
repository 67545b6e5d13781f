//! A store behind TLS, one that fails over with sentinels, and a cluster.

use super::*;
use crate::support::redis::Sentinel;
use crate::support::until;

#[tokio::test]
async fn figures_are_shared_over_tls_with_a_private_authority() {
    let Some((redis, port)) = Redis::start_with_tls() else {
        return;
    };
    let vendor = vendor().await;
    let (url, ca) = (format!("rediss://127.0.0.1:{port}"), redis.file("ca.pem"));
    let tls = [
        ("CACHE__SHARED__URLS", &*url),
        ("CACHE__SHARED__CA_FILE", &ca),
    ];
    let tls = [&PATIENT[..], &tls].concat();
    let a = replica(&vendor, &redis, &tls).await;
    let b = replica(&vendor, &redis, &tls).await;
    let before = a.rows(MONTH).await;
    a.until_written().await;
    vendor.reset_counts();

    assert_eq!(b.rows(MONTH).await, before);

    assert_eq!(vendor.report_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_fails_no_query_and_keeps_figures_purges_and_tokens() {
    let Some(mut primary) = Redis::start(&[]) else {
        return;
    };
    let port = primary.port.to_string();
    let successor = Redis::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let sentinel = Sentinel::of(&primary, "");
    let vendor = vendor().await;
    let (url, token) = (sentinel.url(), vendor.refresh_token());
    let through = [
        ("CACHE__SHARED__URLS", &*url),
        ("CACHE__SHARED__MODE", "sentinel"),
        ("CACHE__SHARED__SENTINEL_MASTER", "main"),
        ("UPSTREAM__REFRESH_TOKEN", &token),
    ];
    let through = [&through[..], &PATIENT].concat();
    let replicas = [
        replica(&vendor, &primary, &through).await,
        replica(&vendor, &primary, &through).await,
    ];
    let month = |site: &str| MONTH.replace("750,751,752", site);
    for site in ["760", "761"] {
        replicas[0].rows(&month(site)).await;
    }
    replicas[0].until_written().await;
    until("the purge is made", async || {
        purge(&replicas[1], "?sites=761").await.status() == 200
    })
    .await;
    until("the sentinel knows whom to promote", async || {
        sentinel.knows_a_replica()
    })
    .await;
    assert_eq!(primary.command(&["WAIT", "1", "60000"]), "1");

    // `ask` accepts only answers with status 200.
    let queries = queries(200, 4);
    tokio::join!(ask(&replicas, &queries), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        sentinel.give_up_after("500");
        primary.kill();
    });
    for pitaya in &replicas {
        pitaya
            .until_state_is("cache_tier", &["eviction_policy"])
            .await;
    }
    let new = replica(&vendor, &successor, &through).await;
    let before = vendor.report_count();

    new.rows(&month("760")).await;
    assert_eq!(vendor.report_count(), before);
    new.rows(&month("761")).await;
    assert!(vendor.report_count() > before);
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_primary_fails_no_query_and_keeps_figures_purges_and_tokens() {
    let Some(mut nodes) = Redis::start_six() else {
        return;
    };
    let vendor = vendor().await;
    let urls: Vec<String> = nodes.iter().map(Redis::url).collect();
    let (urls, token) = (urls.join(","), vendor.refresh_token());
    let in_cluster = [
        ("CACHE__SHARED__URLS", &*urls),
        ("CACHE__SHARED__MODE", "cluster"),
        ("UPSTREAM__REFRESH_TOKEN", &token),
    ];
    let in_cluster = [&in_cluster[..], &PATIENT].concat();
    let replicas = [
        replica(&vendor, &nodes[0], &in_cluster).await,
        replica(&vendor, &nodes[0], &in_cluster).await,
    ];
    nodes.iter().for_each(Redis::settle);
    let month = |site: &str| MONTH.replace("750,751,752", site);
    let mut before = Vec::new();
    for site in ["760", "761"] {
        before.push(replicas[0].rows(&month(site)).await);
    }
    replicas[0].until_written().await;
    vendor.reset_counts();
    // The answer includes the names, though the other replica has only just learned them.
    assert_eq!(replicas[1].rows(&month("760")).await, before[0]);
    assert_eq!(vendor.report_count(), 0);
    until("the purge is made", async || {
        purge(&replicas[1], "?sites=761").await.status() == 200
    })
    .await;

    // The purges, the leases of the tokens and what was learned are there.
    let of_the_fleet = nodes
        .iter()
        .position(|node| node.is_primary() && !node.command(&["KEYS", "*{fleet*"]).is_empty());
    let lost = of_the_fleet.unwrap();
    assert_eq!(nodes[lost].command(&["WAIT", "1", "60000"]), "1");
    // `ask` takes only answers with status 200.
    let queries = queries(200, 4);
    tokio::join!(ask(&replicas, &queries), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        nodes[lost].kill();
    });
    for pitaya in &replicas {
        pitaya
            .until_state_is("cache_tier", &["eviction_policy"])
            .await;
    }
    let new = replica(&vendor, &nodes[(lost + 1) % 6], &in_cluster).await;
    vendor.reset_counts();

    assert_eq!(new.rows(&month("760")).await, before[0]);
    assert_eq!(vendor.report_count(), 0);
    assert_eq!(new.rows(&month("761")).await["data"], before[1]["data"]);
    assert!(vendor.report_count() > 0);
    assert_eq!((vendor.refresh_count(), vendor.reused_tokens()), (0, 0));
}
