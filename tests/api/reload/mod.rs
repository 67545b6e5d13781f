//! Tests of reloading the configuration while the process runs.

mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access::client;
use crate::support::{Setup, TestApp, cache_status, column, problem, reloaded, true_entrances};

const TYLER: &str = "sites=750&dates=2026-02-18&metric=entrances&bucket=day";

async fn post(app: &TestApp, key: &str) -> Response {
    let request = app.client.post(app.url("/v1/reload"));
    request.bearer_auth(key).send().await.unwrap()
}

async fn ask(app: &TestApp, key: &str, query: &str) -> Response {
    let request = app.get(&format!("/v1/traffic?{query}"));
    request.bearer_auth(key).send().await.unwrap()
}

fn guarded(toml: &str) -> Setup {
    Setup::default().with("AUTH", "required").file(toml)
}

fn names(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[tokio::test]
async fn a_reload_applies_live_keys_and_only_names_those_that_need_a_restart() {
    let app = Setup::default().start().await;
    app.rows(TYLER).await;
    let toml = "[limits]\nmax_days = 1\n[cache]\nhttp_max_age = \"7s\"\nmax_bytes = \"1MiB\"\n\
                [cors]\nallowed_origins = [\"https://app.example\"]\n[upstream]\nmax_attempts = 1";

    let first = app.reload(toml).await;
    let again = app.reload(toml).await;
    let (status, slug, _) = app
        .problem("sites=750&dates=2026-02-18..2026-02-19&metric=entrances")
        .await;
    let origin = app
        .get(&format!("/v1/traffic?{TYLER}"))
        .header("origin", "https://app.example");
    let kept = origin.send().await.unwrap();
    let back = app.reload("").await;

    let live = names(&[
        "cache.http_max_age",
        "limits.max_days",
        "cors.allowed_origins",
    ]);
    let restart = names(&["upstream.max_attempts", "cache.max_bytes"]);
    assert_eq!(first, (live.clone(), restart.clone()));
    assert_eq!(again, (Vec::new(), restart));
    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
    assert!(
        cache_status(&kept).starts_with("pitaya; hit"),
        "the cache stays"
    );
    assert_eq!(kept.headers()["cache-control"], "private, max-age=7");
    assert_eq!(
        kept.headers()["access-control-allow-origin"],
        "https://app.example"
    );
    assert_eq!(back, (live, Vec::new()));
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn a_reload_of_a_wrong_configuration_lists_every_fault_and_changes_nothing() {
    let good = client("operator", &["operator"], "admin = true");
    let app = guarded(&good).start().await;
    app.write_file(&format!(
        "{}\n[cache]\nopen_ttl = \"soon\"\n[limits]\nmax_days = 0\nmax_dayz = 1\n",
        client("another", &["another"], "admin = true")
    ));

    let (status, slug, body) = problem(post(&app, "operator").await).await;

    assert_eq!((status, slug.as_str()), (422, "invalid-configuration"));
    let errors = body["errors"].as_array().unwrap();
    let named: Vec<_> = errors
        .iter()
        .map(|error| error["parameter"].as_str().unwrap())
        .collect();
    assert_eq!(
        named,
        ["limits.max_days", "cache.open_ttl", "limits.max_dayz"]
    );
    let detail = errors[1]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("cache.open_ttl (PITAYA_CACHE__OPEN_TTL): \"soon\" is not"),
        "{detail}"
    );
    assert_eq!(ask(&app, "another", TYLER).await.status(), 401);
    assert_eq!(ask(&app, "operator", TYLER).await.status(), 200);

    app.write_file("clients = [");
    let (status, slug, body) = problem(post(&app, "operator").await).await;
    assert_eq!((status, slug.as_str()), (422, "invalid-configuration"));
    assert_eq!(body["errors"].as_array().unwrap().len(), 1);

    app.write_file(&good);
    assert_eq!(
        reloaded(post(&app, "operator").await).await,
        (Vec::new(), Vec::new())
    );
}

#[tokio::test]
async fn only_an_administrator_may_reload_or_this_machine_without_authentication() {
    let clients =
        client("operator", &["operator"], "admin = true") + &client("caller", &["caller"], "");
    let app = guarded(&clients).start().await;
    app.write_file("nothing = 1");

    assert_eq!(post(&app, "nobody").await.status(), 401);
    assert_eq!(post(&app, "caller").await.status(), 403);
    assert_eq!(post(&app, "operator").await.status(), 422);

    let open = Setup::default().start().await;
    let request = || open.client.post(open.url("/v1/reload"));
    let forwarded = request().header("x-forwarded-for", "10.0.0.1").send().await;
    assert_eq!(forwarded.unwrap().status(), 403);
    let foreign = request()
        .header("origin", "https://evil.example")
        .send()
        .await;
    assert_eq!(foreign.unwrap().status(), 403);
    assert_eq!(request().send().await.unwrap().status(), 200);
    let parameter = open
        .client
        .post(open.url("/v1/reload?force=1"))
        .send()
        .await;
    assert_eq!(parameter.unwrap().status(), 400);
}

#[tokio::test]
async fn keys_scopes_and_rates_apply_from_the_next_request_on() {
    let operator = client("operator", &["operator"], "admin = true");
    let app = guarded(&format!(
        "{operator}{}",
        client("a", &["old"], "rate_limit = \"2/h\"")
    ))
    .start()
    .await;
    assert_eq!(ask(&app, "old", TYLER).await.status(), 200);

    app.write_file(&format!(
        "{operator}{}",
        client("a", &["new"], "rate_limit = \"2/h\"\nsite_ids = [750]")
    ));
    assert_eq!(reloaded(post(&app, "operator").await).await.0, ["clients"]);

    assert_eq!(ask(&app, "old", TYLER).await.status(), 401);
    let other = TYLER.replace("750", "751");
    assert_eq!(ask(&app, "new", &other).await.status(), 403);
    assert_eq!(
        ask(&app, "new", TYLER).await.status(),
        429,
        "its bucket stays"
    );
    app.write_file(&format!(
        "{operator}{}",
        client("a", &["new"], "rate_limit = \"3/h\"")
    ));
    reloaded(post(&app, "operator").await).await;
    assert_eq!(ask(&app, "new", &other).await.status(), 200);
}

/// Requests a large answer with `key`, and reads only its beginning.
async fn begin_large(app: &TestApp, key: &str) -> TcpStream {
    let sites: Vec<_> = (750..850).map(|site| site.to_string()).collect();
    let query = format!(
        "sites={}&dates=2026-01-01..2026-01-30&metric=occupancy&bucket=hour",
        sites.join(",")
    );
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "GET /v1/traffic?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut beginning = [0; 15];
    stream.read_exact(&mut beginning).await.unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200 OK");
    stream
}

/// Reads the rest, and returns the number of bytes received and the announced length.
async fn rest(mut stream: TcpStream) -> (usize, usize) {
    let mut rest = Vec::new();
    // The server may reset a connection that ends unfinished.
    let _ = stream.read_to_end(&mut rest).await;
    let text = String::from_utf8_lossy(&rest);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    (body.len(), length.unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_key_gets_no_more_of_its_answer_and_other_keys_get_all() {
    let operator = client("operator", &["operator"], "admin = true");
    let stays = client("b", &["stays"], "");
    let app = guarded(&format!(
        "{operator}{stays}{}",
        client("a", &["goes", "rotated"], "")
    ))
    .start()
    .await;
    let (goes, rotated, stays_on) = (
        begin_large(&app, "goes").await,
        begin_large(&app, "rotated").await,
        begin_large(&app, "stays").await,
    );

    app.write_file(&format!(
        "{operator}{stays}{}",
        client("a", &["rotated"], "")
    ));
    reloaded(post(&app, "operator").await).await;

    let (sent, length) = rest(goes).await;
    assert!(sent < length, "{sent} of {length} bytes");
    for whole in [rotated, stays_on] {
        let (sent, length) = rest(whole).await;
        assert_eq!(sent, length);
    }
}

#[tokio::test]
async fn a_waiting_caller_with_a_removed_key_gets_401_at_once() {
    let operator = client("operator", &["operator"], "admin = true");
    let app = guarded(&format!("{operator}{}", client("a", &["goes"], "")))
        .start()
        .await;
    let _hold = app.vendor.hold_reports();
    let waiting = tokio::spawn(
        app.get(&format!("/v1/traffic?{TYLER}"))
            .bearer_auth("goes")
            .send(),
    );
    app.vendor.wait_for_reports(1).await;

    app.write_file(&operator);
    reloaded(post(&app, "operator").await).await;

    assert_eq!(waiting.await.unwrap().unwrap().status(), 401);
}

#[tokio::test]
async fn a_reload_can_enable_authentication_and_readiness_shows_it() {
    let app = Setup::default()
        .with("LISTEN", "0.0.0.0:0")
        .with("AUTH", "")
        .file("auth = \"disabled\"")
        .start()
        .await;
    let checks = async || {
        let body: Value = app.json("/readyz").await;
        body["checks"]["auth"]["status"].clone()
    };
    assert_eq!(checks().await, "warn");

    let (changed, _) = app.reload(&client("a", &["key"], "")).await;

    assert_eq!(changed, ["auth", "clients"]);
    assert_eq!(checks().await, Value::Null);
    assert_eq!(app.traffic(TYLER).await.status(), 401);
    assert_eq!(ask(&app, "key", TYLER).await.status(), 200);
}

fn site(id: u64, name: &str, zone: &str) -> String {
    format!("[[sites]]\nid = {id}\nname = {name:?}\ntimezone = {zone:?}\n")
}

#[tokio::test]
async fn a_renamed_site_keeps_its_figures() {
    let app = Setup::default()
        .file(&site(750, "Old", "America/Chicago"))
        .start()
        .await;
    let query = format!("{TYLER}&format=csv");
    let old = app.traffic(&query).await.text().await.unwrap();

    app.reload(&site(750, "New", "America/Chicago")).await;
    let new = app.traffic(&query).await;

    assert!(cache_status(&new).starts_with("pitaya; hit"));
    assert_eq!(new.text().await.unwrap(), old.replace("Old", "New"));
    let (changed, _) = app.reload(&site(751, "Other", "America/Chicago")).await;
    assert_eq!(changed, ["sites"]);
    assert_eq!(app.problem(TYLER).await.0, 403);
}

#[tokio::test]
async fn a_site_with_a_new_zone_gets_new_figures_and_its_neighbour_keeps_the_old() {
    let sites = |zone| site(750, "Moving", zone) + &site(751, "Staying", "America/Chicago");
    // Summer time ends on that day in Chicago, where the clock goes back at 2, but not in Phoenix.
    let query = "sites=750,751&dates=2025-11-02&metric=entrances&bucket=day";
    let app = Setup::default()
        .file(&sites("America/Chicago"))
        .start()
        .await;
    app.rows(query).await;
    app.vendor.reset_counts();

    let (changed, _) = app.reload(&sites("America/Phoenix")).await;
    let moved = app.traffic(query).await;

    assert_eq!(changed, ["sites"]);
    assert!(
        cache_status(&moved).starts_with("pitaya; fwd=partial"),
        "{}",
        cache_status(&moved)
    );
    let body: Value = moved.json().await.unwrap();
    assert_eq!(body["meta"]["sites"][0]["timezone"], "America/Phoenix");
    let asked: Vec<_> = app
        .vendor
        .reports()
        .iter()
        .map(|call| call.request.clone().unwrap().sites)
        .collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].iter().map(|site| site.get()).collect::<Vec<_>>(),
        [750]
    );
}

#[tokio::test]
async fn sites_without_a_zone_follow_the_default_zone() {
    let own = site(750, "Tyler", "America/Chicago") + "[[sites]]\nid = 751\n";
    let toml = |zone| format!("timezone = {zone:?}\n{own}");
    let query = "sites=750,751&dates=2026-02-18&metric=entrances&bucket=day";
    let app = Setup::default().file(&toml("UTC")).start().await;
    app.rows(query).await;

    let (changed, _) = app.reload(&toml("Asia/Tokyo")).await;
    let moved = app.traffic(query).await;

    assert_eq!(changed, ["timezone"]);
    assert!(cache_status(&moved).starts_with("pitaya; fwd=partial"));
    let body: Value = moved.json().await.unwrap();
    assert_eq!(body["meta"]["sites"][0]["timezone"], "America/Chicago");
    assert_eq!(body["meta"]["sites"][1]["timezone"], "Asia/Tokyo");
}

#[tokio::test]
async fn a_fetch_for_the_old_zone_answers_only_its_caller() {
    let app = Setup::default()
        .file(&site(750, "Moving", "America/Chicago"))
        .start()
        .await;
    let hold = app.vendor.hold_reports();
    let before = tokio::spawn(app.get(&format!("/v1/traffic?{TYLER}")).send());
    app.vendor.wait_for_reports(1).await;

    app.reload(&site(750, "Moving", "Asia/Tokyo")).await;
    let after = tokio::spawn(app.get(&format!("/v1/traffic?{TYLER}")).send());
    app.vendor.wait_for_reports(2).await;
    hold.release();

    let zone = async |response: Response| {
        let body: Value = response.json().await.unwrap();
        body["meta"]["sites"][0]["timezone"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        zone(before.await.unwrap().unwrap()).await,
        "America/Chicago"
    );
    assert_eq!(zone(after.await.unwrap().unwrap()).await, "Asia/Tokyo");
    let kept = app.traffic(TYLER).await;
    assert!(cache_status(&kept).starts_with("pitaya; hit"));
    assert_eq!(zone(kept).await, "Asia/Tokyo");
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn a_new_ttl_applies_to_cached_figures() {
    let ttl = |final_ttl| {
        format!(
            "[cache]\nfinal_ttl = {final_ttl:?}\nstale_while_revalidate = \"0s\"\nstale_if_error = \"0s\""
        )
    };
    let app = Setup::default().file(&ttl("1h")).start().await;
    let answer = app.rows(TYLER).await;
    assert_eq!(
        column(&answer, "entrances"),
        [true_entrances(&app.vendor, 750, "2026-02-18")]
    );
    app.clock.advance(jiff::SignedDuration::from_mins(30));

    app.reload(&ttl("10m")).await;
    assert!(cache_status(&app.traffic(TYLER).await).starts_with("pitaya; fwd=miss"));
    app.clock.advance(jiff::SignedDuration::from_mins(30));
    app.reload(&ttl("30d")).await;
    let longer = cache_status(&app.traffic(TYLER).await);

    assert!(longer.starts_with("pitaya; hit; ttl=2"), "{longer}");
    assert_eq!(app.vendor.report_count(), 2);
}

#[tokio::test]
async fn new_warm_queries_are_fetched_without_a_caller() {
    let app = Setup::default().start().await;

    let (changed, _) = app.reload(&format!("[warm]\nqueries = [{TYLER:?}]")).await;
    app.vendor.wait_for_reports(1).await;

    assert_eq!(changed, ["warm.queries"]);
    app.rows(TYLER).await;
    assert_eq!(app.vendor.report_count(), 1);
}

#[tokio::test]
async fn new_limits_apply_to_the_queue_and_the_waiting_time() {
    let app = Setup::default().start().await;
    let limits = |cells, timeout| {
        format!("[limits]\nmax_queued_cells = {cells}\nrequest_timeout = {timeout:?}")
    };

    app.reload(&limits(1, "60s")).await;
    let (status, slug, _) = app
        .problem("sites=750&dates=2026-02-18..2026-02-19&metric=entrances")
        .await;
    assert_eq!((status, slug.as_str()), (422, "query-too-large"));
    app.reload(&limits(10, "50ms")).await;
    let hold = app.vendor.hold_reports();
    let (status, slug, _) = app.problem(TYLER).await;
    assert_eq!((status, slug.as_str()), (504, "upstream-timeout"));
    hold.release();
}

/// Sends one request after another until `stop`, and returns the failures.
async fn load(client: Client, url: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match client.get(&url).bearer_auth("caller").send().await {
            Ok(response) if response.status() == StatusCode::OK => {
                response.bytes().await.unwrap();
            }
            Ok(response) => failures.push(response.text().await.unwrap()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_during_many_reloads() {
    let zones = ["America/Chicago", "America/Phoenix", "Asia/Tokyo"];
    let toml = |round: usize| {
        client("operator", &["operator"], "admin = true")
            + &client("caller", &["caller", &format!("more-{}", round % 2)], "")
            + &site(750, &format!("Name {round}"), zones[round % 3])
            + &site(751, "Staying", "America/Chicago")
            + &format!("[cache]\nfinal_ttl = \"{}d\"\n", 1 + round % 5)
    };
    let app = guarded(&toml(0)).start().await;
    let stop = Arc::<AtomicBool>::default();
    let queries = [
        TYLER,
        "sites=750,751&dates=2025-11-01..2025-11-03&metric=entrances,dwell_time&bucket=hour",
    ];
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let url = app.url(&format!("/v1/traffic?{}", queries[caller % 2]));
            tokio::spawn(load(app.client.clone(), url, Arc::clone(&stop)))
        })
        .collect();

    for round in 1..30 {
        app.write_file(&toml(round));
        let (changed, restart) = reloaded(post(&app, "operator").await).await;
        assert_eq!((changed.len(), restart.len()), (3, 0), "{changed:?}");
        let shown: Value = ask(&app, "caller", TYLER).await.json().await.unwrap();
        assert_eq!(shown["data"][0]["site_name"], format!("Name {round}"));
        assert_eq!(shown["meta"]["sites"][0]["timezone"], zones[round % 3]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);

    for caller in callers {
        assert_eq!(caller.await.unwrap(), Vec::<String>::new());
    }
}
