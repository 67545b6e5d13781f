//! `pitaya demo` shows its own chain, which callers cannot change.

use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Setup, column};

/// The Friday after Thanksgiving.
const NOW: &str = "2026-11-27T12:00:00Z";

#[tokio::test]
async fn the_demo_is_a_chain_with_regions_codes_and_hours_in_several_zones() {
    let app = Setup::demo(NOW).start().await;

    let sites: Value = app.json("/v1/sites").await;
    let regions = app
        .rows("sites=all&dates=yesterday&metric=entrances&bucket=day&group_by=region")
        .await;
    let tyler = app
        .rows("sites=code:T-0412&dates=2026-02-18&metric=entrances&bucket=day&hours=open")
        .await;

    let sites = sites["data"].as_array().unwrap();
    assert_eq!(sites.len(), 13);
    for key in ["name", "timezone", "code", "hours"] {
        assert!(sites.iter().all(|site| site[key].is_string()), "{key}");
    }
    assert_eq!(
        column(&regions, "region"),
        ["APAC", "Europe", "North", "South", "West"]
    );
    assert_eq!(column(&tyler, "entrances"), [366]);
    assert_eq!(
        tyler["meta"]["coverage"],
        json!({"min": 1, "rows_below_1": 0, "basis": "open"})
    );
}

#[tokio::test]
async fn the_demo_refuses_sites_that_it_does_not_have() {
    let app = Setup::demo(NOW).start().await;

    let query = "sites=750,9999&dates=yesterday&metric=entrances&bucket=day";
    let (status, slug, _) = app.problem(query).await;
    let own = Setup::demo(NOW).file("[[sites]]\nid = 9999").start().await;
    let answer = own
        .rows("sites=all&dates=yesterday&metric=entrances&bucket=day")
        .await;

    assert_eq!((status, slug.as_str()), (403, "forbidden"));
    assert_eq!(app.vendor.report_count(), 0);
    assert_eq!(column(&answer, "site_id"), [9999]);
    let (status, slug, _) = own
        .problem("sites=750&dates=yesterday&metric=entrances")
        .await;
    assert_eq!((status, slug.as_str()), (403, "forbidden"));
}

#[tokio::test]
async fn the_demo_has_a_site_that_opened_this_year() {
    let app = Setup::demo(NOW).start().await;

    let before = app
        .rows("sites=762&dates=2026-07-30..2026-08-03&metric=entrances&bucket=day")
        .await;
    let comparison = app
        .rows("sites=all&dates=last_month&metric=entrances&bucket=total&compare=previous_year&comparable=true")
        .await;

    let days = column(&before, "entrances");
    assert!(days[..2].iter().all(Value::is_null), "{days:?}");
    assert!(days[2..].iter().all(Value::is_number), "{days:?}");
    assert_eq!(
        comparison["meta"]["comparison"]["left_out"],
        json!([{"site_id": 762, "reason": "opened_later"}])
    );
    let changes = column(&comparison, "change");
    assert!(
        changes.iter().all(|change| change["entrances"].is_number()),
        "{changes:?}"
    );
}

#[tokio::test]
async fn the_demo_has_a_sensor_that_is_silent_from_noon_each_wednesday() {
    let app = Setup::demo(NOW).start().await;

    let week = app
        .rows("sites=755&dates=2026-11-16..2026-11-22&metric=entrances&bucket=day&include=coverage")
        .await;

    let coverage = column(&week, "coverage");
    // The figures cover 9 to 12, and the store is open from 9 to 21.
    assert_eq!(coverage[2], 0.25, "{coverage:?}");
    assert_eq!(week["meta"]["coverage"]["min"], 0.25);
}

#[tokio::test]
async fn pages_of_this_machine_may_read_the_demo_and_nothing_in_it_is_a_warning() {
    let asked = tokio::task::spawn_blocking(|| {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_pitaya"))
            .arg("demo")
            .env_clear()
            .env("PITAYA_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(demo.stdout.take().unwrap()));
        let mut urls: Vec<String> = Vec::new();
        for line in lines {
            urls.push(line.unwrap());
            if urls.last().unwrap().ends_with("/metrics") {
                break;
            }
        }
        (demo, urls)
    });
    let (demo, urls) = asked.await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let urls: Vec<_> = urls
        .iter()
        .filter(|url| url.contains("/v1/traffic"))
        .collect();
    assert!(urls.len() >= 3, "{urls:?}");

    for url in urls {
        for origin in ["http://localhost:5173", "http://127.0.0.1:8000"] {
            let get = client
                .get(url)
                .header("Origin", origin)
                .send()
                .await
                .unwrap();
            assert_eq!(get.status(), 200, "{url}");
            assert_eq!(get.headers()["access-control-allow-origin"], origin);
            let answer: Value = get.json().await.unwrap();
            assert!(!answer["data"].as_array().unwrap().is_empty(), "{url}");
        }
        let preflight = client
            .request(Method::OPTIONS, url)
            .header("Origin", "http://localhost:5173")
            .header("Access-Control-Request-Method", "GET")
            .send()
            .await
            .unwrap();
        assert!(
            preflight
                .headers()
                .contains_key("access-control-allow-methods")
        );
        let foreign = client.get(url).header("Origin", "http://localhost.example");
        let foreign = foreign.send().await.unwrap();
        assert!(
            !foreign
                .headers()
                .contains_key("access-control-allow-origin")
        );
        assert!(
            foreign.headers()["vary"]
                .to_str()
                .unwrap()
                .contains("Origin")
        );
    }

    let pid = demo.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || demo.wait_with_output().unwrap());
    let log = String::from_utf8(ended.await.unwrap().stderr).unwrap();
    assert!(log.contains("answered"), "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
