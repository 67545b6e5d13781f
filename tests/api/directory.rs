//! The configured directory: sites by word, series by tag, and the list of sites, within what the caller may see.

use reqwest::Response;
use serde_json::{Value, json};

use crate::access::{client, with_file};
use crate::support::{Setup, TestApp, cache_status, column, problem, true_entrances};

const DAY: &str = "dates=2026-02-18&metric=entrances&bucket=day";

const SITES: &str = r#"
[[sites]]
id = 750
name = "Tyler"
code = "T-0412"
tags = ["region=North", "outlet"]
customer_id = 123

[[sites]]
id = 751
name = "=Austin"
code = "A-1"
tags = ["region=South"]
customer_id = 123

[[sites]]
id = 752
timezone = "America/Chicago"
tags = ["region=North"]
customer_id = 123

[[sites]]
id = 760
customer_id = 123

[[sites]]
id = 750
tags = ["region=East"]
customer_id = 124

[[sites]]
id = 900
code = "T-0412"
tags = ["zone=1"]
customer_id = 124
"#;

fn clients() -> String {
    [
        client("all", &["all"], "customer_ids = [123]"),
        client("both", &["both"], "admin = true"),
        client("other", &["other"], "customer_ids = [124]"),
        client(
            "north",
            &["north"],
            "tags = [\"region=North\"]\nadmin = true\ncustomer_ids = [123]",
        ),
        client(
            "narrow",
            &["narrow"],
            "customer_ids = [123]\ntags = [\"region=North\", \"outlet\"]\nsite_ids = [751, 752]",
        ),
        client(
            "nothing",
            &["nothing"],
            "tags = [\"region=Nowhere\"]\ncustomer_ids = [123]",
        ),
    ]
    .concat()
}

fn guarded() -> Setup {
    with_file(&(clients() + SITES))
}

async fn get(app: &TestApp, key: &str, path: &str) -> Response {
    app.get(path).bearer_auth(key).send().await.unwrap()
}

async fn ask(app: &TestApp, key: &str, query: &str) -> Response {
    get(app, key, &format!("/v1/traffic?{query}")).await
}

/// The answer to a query for one day's entrances.
async fn answer(app: &TestApp, key: &str, query: &str) -> Value {
    let response = ask(app, key, &format!("{query}&{DAY}")).await;
    let status = response.status();
    let answer = response.json().await.unwrap();
    assert_eq!(status, 200, "{key} {query}: {answer}");
    answer
}

/// The sites that `words` stand for.
async fn sites(app: &TestApp, key: &str, words: &str) -> Vec<u64> {
    let answer = answer(app, key, &format!("sites={words}")).await;
    let listed = answer["meta"]["sites"].as_array().unwrap().iter();
    let listed: Vec<_> = listed
        .map(|site| site["site_id"].as_u64().unwrap())
        .collect();
    assert_eq!(column(&answer, "site_id"), listed, "{words}");
    listed
}

#[tokio::test]
async fn words_mean_the_sites_that_have_them() {
    let app = guarded().start().await;

    for (words, expected) in [
        ("all", vec![750, 751, 752, 760]),
        ("code:T-0412", vec![750]),
        ("tag:region=North", vec![750, 752]),
        ("tag:region%3DNorth", vec![750, 752]),
        ("tag%3Aregion=North%2C751", vec![750, 751, 752]),
        ("tag:outlet", vec![750]),
        ("tag:outlet,751,code:A-1", vec![750, 751]),
        ("all,750,all,tag:outlet", vec![750, 751, 752, 760]),
        ("all,-750", vec![751, 752, 760]),
        ("all,-tag:region=North,-code:A-1", vec![760]),
        ("-752,tag:region=North", vec![750]),
        ("all&sites=-751&sites=-760", vec![750, 752]),
        ("-751&sites=751,750", vec![750]),
        ("750,751,-751,-751", vec![750]),
    ] {
        assert_eq!(sites(&app, "all", words).await, expected, "{words}");
    }
    // The tags of a client, and its ids, narrow what the words mean.
    assert_eq!(sites(&app, "north", "all").await, [750, 752]);
    assert_eq!(sites(&app, "narrow", "all").await, [752]);
    assert_eq!(sites(&app, "narrow", "752").await, [752]);
    assert_eq!(sites(&app, "other", "code:T-0412").await, [900]);
    assert_eq!(sites(&app, "both", "code:T-0412&customer=123").await, [750]);
}

#[tokio::test]
async fn every_spelling_of_the_same_sites_is_one_query() {
    let app = guarded().start().await;

    sites(&app, "all", "tag:region=North").await;
    let again = ask(&app, "all", &format!("sites=752,750&{DAY}")).await;
    let scoped = ask(&app, "north", &format!("sites=all&{DAY}")).await;

    assert!(cache_status(&again).starts_with("pitaya; hit"));
    assert!(cache_status(&scoped).starts_with("pitaya; hit"));
    assert_eq!(app.vendor.report_count(), 1);
}

/// The faults of a query that must get 400. Replaces the text that differs between queries.
async fn faults(app: &TestApp, key: &str, query: &str, word: &str) -> String {
    let response = ask(app, key, query).await;
    let (status, slug, body) = problem(response).await;
    assert_eq!(
        (status, slug.as_str()),
        (400, "invalid-parameter"),
        "{key} {query}"
    );
    body["errors"].to_string().replace(word, "WORD")
}

#[tokio::test]
async fn a_word_of_a_hidden_site_gets_the_same_answer_as_an_unknown_word() {
    let app = guarded().start().await;
    app.vendor.reset_counts();

    for (form, hidden, unknown) in [
        ("sites=code:WORD", "A-1", "Q-9"),
        ("sites=750,-code:WORD", "A-1", "Q-9"),
        ("sites=tag:region=WORD", "South", "Gobi"),
        ("sites=750,-tag:region=WORD", "South", "Gobi"),
        ("sites=tag:region=WORD", "East", "Gobi"),
        ("sites=tag:WORD", "zone=1", "q=9"),
        ("sites=750&group_by=WORD", "zone", "quux"),
    ] {
        let mut told = Vec::new();
        for word in [hidden, unknown] {
            let query = format!("{}&{DAY}", form.replace("WORD", word));
            told.push(faults(&app, "north", &query, word).await);
        }
        assert_eq!(told[0], told[1], "{form}");
    }
    // The same holds for `all` if nothing is visible or configured.
    let hidden = faults(&app, "nothing", &format!("sites=all&{DAY}"), "-").await;
    let plain = TestApp::start().await;
    assert_eq!(
        faults(&plain, "-", &format!("sites=all&{DAY}"), "-").await,
        hidden
    );
    // Ids are refused as before, even if they are excluded.
    for words in [
        "751",
        "9999",
        "750,751",
        "all,-751",
        "all,-9999",
        "tag:outlet,751",
        "9999,code:T-0412",
    ] {
        let response = ask(&app, "north", &format!("sites={words}&{DAY}")).await;
        let (status, slug, _) = problem(response).await;
        assert_eq!((status, slug.as_str()), (403, "forbidden"), "{words}");
    }
    // For a customer that the caller may not see, all words get the same answer.
    for words in [
        "all",
        "code:T-0412",
        "code:Q-9",
        "900",
        "tag:zone=1&group_by=zone",
        "all&group_by=quux",
    ] {
        for customer in [124, 125] {
            let query = format!("sites={words}&customer={customer}&{DAY}");
            let (status, slug, _) = problem(ask(&app, "north", &query).await).await;
            assert_eq!((status, slug.as_str()), (403, "forbidden"), "{query}");
        }
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn words_that_mean_no_site_are_faults_of_their_parameter() {
    let app = guarded().start().await;

    for words in [
        "-750",
        "-all",
        "-tag:outlet,-751",
        "all,-all",
        "750,-750",
        "tag:outlet,-code:T-0412",
        "code:",
        "tag:",
        "tag:=North",
        "tag:region=",
        "tag:region",
        "tag:North",
        "tag:Region=North",
        "tag:region=north",
        "code:t-0412",
        "code:X",
        "ALL",
        "All",
        "-",
        "--750",
        "+all",
        "all,",
        "0",
        "name:Tyler",
        "Tyler",
        "all:",
        "code:T-0412,code:X",
        "750,-tag:Outlet",
    ] {
        let query = format!("sites={words}&{DAY}");
        let (status, slug, body) = problem(ask(&app, "all", &query).await).await;

        assert_eq!(
            (status, slug.as_str()),
            (400, "invalid-parameter"),
            "{words}"
        );
        let errors = body["errors"].as_array().unwrap();
        assert!(
            errors.iter().all(|error| error["parameter"] == "sites"),
            "{words}: {body}"
        );
    }
    // All faults come in one answer.
    let query = "sites=code:X,tag:y,Q&dates=2026-02-18&metric=entrance&group_by=quux";
    let (_, _, body) = problem(ask(&app, "all", query).await).await;
    let named: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["parameter"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["sites", "sites", "sites", "metric", "group_by"]);
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn sites_with_the_same_value_of_a_tag_are_one_series() {
    let app = guarded().start().await;
    let combined = async |sites: &str| {
        answer(&app, "all", &format!("sites={sites}&group_by=none")).await["data"][0]["entrances"]
            .clone()
    };

    let by_region = answer(&app, "all", "sites=all&group_by=region").await;

    assert_eq!(by_region["meta"]["group_by"], "region");
    assert_eq!(by_region["meta"]["sites"].as_array().unwrap().len(), 4);
    let expected = json!([
        {"region": "North", "time": "2026-02-18T00:00:00", "entrances": combined("750,752").await},
        {"region": "South", "time": "2026-02-18T00:00:00", "entrances": combined("751").await},
        {"region": null, "time": "2026-02-18T00:00:00", "entrances": combined("760").await},
    ]);
    assert_eq!(by_region["data"], expected);
    let text = async |query: &str| {
        ask(&app, "all", &format!("{query}&{DAY}"))
            .await
            .text()
            .await
            .unwrap()
    };
    let csv = text("sites=751,760&group_by=region&format=csv&include=coverage").await;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "region,time,entrances,coverage,state,clipped,sites_observed,sites_expected"
    );
    assert!(lines[1].starts_with("South,2026-02-18T00:00:00,"), "{csv}");
    assert!(lines[2].starts_with(",2026-02-18T00:00:00,"), "{csv}");
    assert!(lines[2].ends_with(",1,final,false,1,1"), "{csv}");
    let lines = text("sites=760&group_by=region&format=ndjson").await;
    assert!(
        lines.starts_with("{\"region\":null,\"time\":\"2026-02-18T00:00:00\",\"entrances\":"),
        "{lines}"
    );
    // A key that only other sites of the caller have is known: these sites all have no value for it.
    assert_eq!(
        answer(&app, "all", "sites=760&group_by=region").await["data"][0]["region"],
        Value::Null
    );
}

#[tokio::test]
async fn series_of_a_tag_have_totals_an_order_and_profiles() {
    let app = guarded().start().await;

    let all = answer(
        &app,
        "all",
        "sites=all&group_by=region&include=totals&sort=-entrances&compare=previous_week",
    )
    .await;
    let first = answer(
        &app,
        "all",
        "sites=all&group_by=region&include=totals&sort=-entrances&limit=1",
    )
    .await;
    let query = "sites=all&group_by=region&dates=2026-02-16..2026-02-22&metric=entrances&bucket=day_of_week";
    let profile: Value = ask(&app, "all", query).await.json().await.unwrap();

    let totals = all["totals"].as_array().unwrap();
    let figure = |row: &Value| row["entrances"].as_u64().unwrap();
    assert!(totals.is_sorted_by_key(|row| std::cmp::Reverse(figure(row))));
    let sum: u64 = totals.iter().map(figure).sum();
    assert_eq!(figure(&all["grand_total"]), sum);
    assert!(all["grand_total"].get("region").is_none());
    for (row, total) in all["data"].as_array().unwrap().iter().zip(totals) {
        assert_eq!(
            (&row["region"], &row["entrances"]),
            (&total["region"], &total["entrances"])
        );
        assert!(
            row["previous"]["entrances"].is_u64() && row["change"]["entrances"].is_number(),
            "{row}"
        );
    }
    assert_eq!(first["data"].as_array().unwrap().len(), 1);
    assert_eq!(first["totals"][0]["region"], totals[0]["region"]);
    assert_eq!(
        first["grand_total"]["entrances"],
        all["grand_total"]["entrances"]
    );
    assert_eq!(profile["data"].as_array().unwrap().len(), 3 * 7);
    assert_eq!(profile["data"][7]["region"], "South");
    assert_eq!(profile["data"][7]["weekday"], 1);
}

#[tokio::test]
async fn times_with_an_offset_need_one_zone_for_each_series() {
    let file = "timezone = \"America/New_York\"\n\
                [[sites]]\nid = 750\ntags = [\"region=East\", \"chain=A\"]\n\
                [[sites]]\nid = 751\ntimezone = \"America/Chicago\"\ntags = [\"region=West\", \"chain=A\"]\n";
    let app = Setup::default().file(file).start().await;
    let query = |key: &str| format!("sites=all&{DAY}&time_format=offset&group_by={key}");

    let by_region = app.rows(&query("region")).await;

    let times = ["2026-02-18T00:00:00-05:00", "2026-02-18T00:00:00-06:00"];
    assert_eq!(column(&by_region, "time"), times);
    let (status, _, body) = app.problem(&query("chain")).await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["parameter"], "time_format");
}

#[tokio::test]
async fn a_tag_that_is_named_like_a_column_cannot_group_rows_that_have_it() {
    let file = "[[sites]]\nid = 750\ntags = [\"state=TX\", \"entrances=2\", \"hour=9\", \"change=x\", \"period=9\"]\n";
    let app = Setup::default().file(file).start().await;
    let query = |rest: &str| format!("sites=750&dates=2026-02-18&metric={rest}");

    let answer = app
        .rows(&query("dwell_time&bucket=day&group_by=state"))
        .await;
    assert_eq!(answer["data"][0]["state"], "TX");
    for rest in [
        "dwell_time&group_by=entrances",
        "dwell_time&group_by=hour",
        "dwell_time&group_by=change",
        "dwell_time&group_by=period",
    ] {
        assert_eq!(app.traffic(&query(rest)).await.status(), 200, "{rest}");
    }
    for rest in [
        "dwell_time&group_by=state&include=coverage",
        "entrances&group_by=entrances",
        "dwell_time&group_by=period&include=period",
        "dwell_time&group_by=hour&bucket=hour_of_day",
        "dwell_time&group_by=change&compare=previous_week",
    ] {
        let (status, _, body) = app.problem(&query(rest)).await;
        assert_eq!(status, 400, "{rest}");
        assert_eq!(body["errors"][0]["parameter"], "group_by", "{rest}");
    }
}

#[tokio::test]
async fn the_list_of_sites_can_be_narrowed_and_downloaded() {
    let app = guarded().start().await;
    let list = async |key: &str, query: &str| -> Vec<Value> {
        let answer: Value = get(&app, key, &format!("/v1/sites?{query}"))
            .await
            .json()
            .await
            .unwrap();
        column(&answer, "site_id")
    };

    let all: Value = get(&app, "all", "/v1/sites").await.json().await.unwrap();
    assert_eq!(
        all["data"],
        json!([
            {"site_id": 750, "name": "Tyler", "timezone": null, "customer_id": 123,
             "code": "T-0412", "tags": ["region=North", "outlet"]},
            {"site_id": 751, "name": "=Austin", "timezone": null, "customer_id": 123,
             "code": "A-1", "tags": ["region=South"]},
            {"site_id": 752, "name": null, "timezone": "America/Chicago", "customer_id": 123,
             "tags": ["region=North"]},
            {"site_id": 760, "name": null, "timezone": null, "customer_id": 123},
        ])
    );
    for (key, query, expected) in [
        ("all", "tag=region=North", vec![750, 752]),
        ("all", "tag=region%3DNorth&q=ty", vec![750]),
        ("all", "tag=outlet&q=TYL", vec![750]),
        ("all", "q=t-04", vec![750]),
        ("all", "q=76", vec![760]),
        ("all", "q=nobody", vec![]),
        ("all", "tag=nothing", vec![]),
        ("both", "q=t-04", vec![750, 900]),
        ("north", "", vec![750, 752]),
        ("north", "q=austin", vec![]),
        ("north", "tag=region=South", vec![]),
        ("narrow", "", vec![752]),
        ("nothing", "", vec![]),
    ] {
        assert_eq!(list(key, query).await, expected, "{key}: {query}");
    }
    let csv = get(&app, "all", "/v1/sites?format=csv").await;
    assert_eq!(
        csv.headers()["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    let csv = csv.text().await.unwrap();
    assert_eq!(
        csv,
        "site_id,name,timezone,customer_id,code,tags,hours,opened,closed\r\n\
         750,Tyler,,123,T-0412,region=North;outlet,,,\r\n\
         751,'=Austin,,123,A-1,region=South,,,\r\n\
         752,,America/Chicago,123,,region=North,,,\r\n\
         760,,,123,,,,,\r\n"
    );
    let accepted = app
        .get("/v1/sites")
        .bearer_auth("all")
        .header("accept", "text/csv");
    assert_eq!(accepted.send().await.unwrap().text().await.unwrap(), csv);
    let named = app
        .get("/v1/sites?format=json")
        .bearer_auth("all")
        .header("accept", "text/csv");
    assert_eq!(
        named.send().await.unwrap().json::<Value>().await.unwrap(),
        all
    );
    for query in [
        "tag=",
        "tag=a,b",
        "tag=a;b",
        "tag=A=b",
        "q=",
        "format=xml",
        "format=ndjson",
        "x=1",
        "q=a&q=b",
    ] {
        let response = get(&app, "all", &format!("/v1/sites?{query}")).await;
        assert_eq!(problem(response).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn a_query_of_more_than_200_sites_counts_them_instead_of_listing_them() {
    let entries: Vec<_> = (1..=201).map(|id| format!("{{ id = {id} }}")).collect();
    let app = Setup::default()
        .with("SITES", &format!("[{}]", entries.join(",")))
        .start()
        .await;

    let answer = app.rows(&format!("sites=all&{DAY}&group_by=none")).await;
    let fewer = app.rows(&format!("sites=all,-7&{DAY}&group_by=none")).await;

    assert_eq!(answer["meta"]["site_count"], 201);
    assert!(answer["meta"].get("sites").is_none());
    assert_eq!(fewer["meta"]["sites"].as_array().unwrap().len(), 200);
    assert!(fewer["meta"].get("site_count").is_none());
}

#[tokio::test]
async fn three_thousand_sites_fit_into_a_query() {
    let entry = |id: u64| {
        format!(
            "{{ id = {}, tags = [\"region=R{}\"] }}",
            100_000 + id,
            id % 7
        )
    };
    let entries: Vec<_> = (0..3000).map(entry).collect();
    let app = Setup::default()
        .with("SITES", &format!("[{}]", entries.join(",")))
        .start()
        .await;

    let answer = app.rows(&format!("sites=all&{DAY}&group_by=region")).await;
    let asked = app.vendor.report_count();
    let ids: Vec<_> = (100_000..103_000).map(|id: u64| id.to_string()).collect();
    let by_id = app
        .traffic(&format!("sites={}&{DAY}", ids.join("%2C")))
        .await;

    assert_eq!(asked, 60);
    assert_eq!(answer["meta"]["site_count"], 3000);
    let sum = |region: u64| {
        let sites = (0..3000).filter(|id| id % 7 == region);
        let figures = sites.map(|id| true_entrances(&app.vendor, 100_000 + id, "2026-02-18"));
        figures.filter_map(|figure| figure.as_u64()).sum::<u64>()
    };
    let expected: Vec<_> = (0..7).map(sum).collect();
    assert_eq!(column(&answer, "entrances"), expected);
    assert!(cache_status(&by_id).starts_with("pitaya; hit"));
    let rows: Value = by_id.json().await.unwrap();
    assert_eq!(rows["data"].as_array().unwrap().len(), 3000);
    assert_eq!(app.vendor.report_count(), asked);
}

#[tokio::test]
async fn a_purge_accepts_the_same_words() {
    let app = guarded().start().await;
    let fill = async || {
        answer(&app, "all", "sites=all").await;
        answer(&app, "other", "sites=all").await;
    };
    let purge = async |key: &str, query: &str| {
        let request = app.client.delete(app.url(&format!("/v1/cache?{query}")));
        request.bearer_auth(key).send().await.unwrap()
    };
    let purged = async |key: &str, query: &str| {
        let answer: Value = purge(key, query).await.json().await.unwrap();
        answer["purged"].as_u64().unwrap()
    };
    fill().await;

    // A code means one site of each customer that has it: 750 of the one, and 900 of the other.
    assert_eq!(
        purged("both", "sites=code:T-0412&dates=2026-02-18").await,
        2
    );
    assert_eq!(
        answer(&app, "all", "sites=all").await["data"][0]["site_id"],
        750
    );
    fill().await;
    assert_eq!(
        purged("both", "sites=tag:region=North,-code:T-0412").await,
        1
    );
    assert_eq!(purged("both", "sites=750").await, 2);
    fill().await;
    // Without `sites`, it purges every site that the caller may see.
    assert_eq!(purged("north", "").await, 2);
    fill().await;
    assert_eq!(purged("both", "sites=all").await, 6);
    assert_eq!(problem(purge("both", "sites=code:X").await).await.0, 400);
    assert_eq!(
        problem(purge("north", "sites=tag:region=South").await)
            .await
            .0,
        400
    );
    assert_eq!(problem(purge("north", "sites=751").await).await.0, 403);
}

#[tokio::test]
async fn revisions_of_sites_by_word_are_those_of_their_ids() {
    let app = guarded().start().await;
    let status = async |key: &str, sites: &str| {
        get(&app, key, &format!("/v1/revisions?sites={sites}"))
            .await
            .status()
            .as_u16()
    };

    assert_eq!(status("north", "all,-750").await, 200);
    assert_eq!(status("both", "code:T-0412").await, 200);
    assert_eq!(status("north", "tag:region=South").await, 400);
    assert_eq!(status("north", "751").await, 403);
}

#[tokio::test]
async fn a_reload_changes_what_words_and_scopes_mean_from_the_next_request_on() {
    let app = guarded().start().await;
    let reload = async |toml: &str| {
        app.write_file(toml);
        let request = app.client.post(app.url("/v1/reload")).bearer_auth("both");
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{body}");
        body["changed"].clone()
    };
    assert_eq!(sites(&app, "north", "all").await, [750, 752]);
    assert_eq!(sites(&app, "all", "code:T-0412").await, [750]);
    let before = app.vendor.report_count();

    let moved = SITES
        .replace("\"region=North\", \"outlet\"", "\"region=South\"")
        .replacen("T-0412", "T-0413", 1);
    let changed = reload(&(clients() + &moved)).await;

    assert_eq!(changed, json!(["sites"]));
    assert_eq!(sites(&app, "north", "all").await, [752]);
    assert_eq!(
        ask(&app, "north", &format!("sites=750&{DAY}"))
            .await
            .status(),
        403
    );
    assert_eq!(
        ask(&app, "all", &format!("sites=code:T-0412&{DAY}"))
            .await
            .status(),
        400
    );
    assert_eq!(sites(&app, "all", "code:T-0413").await, [750]);
    let by_region = answer(&app, "all", "sites=750,752&group_by=region").await;
    assert_eq!(column(&by_region, "region"), ["North", "South"]);
    assert_eq!(app.vendor.report_count(), before, "the cache stays");

    let wider = clients().replace("tags = [\"region=North\"]\n", "tags = [\"region=South\"]\n");
    let changed = reload(&(wider + &moved)).await;

    assert_eq!(changed, json!(["clients"]));
    assert_eq!(sites(&app, "north", "all").await, [750, 751]);
    assert_eq!(
        ask(&app, "north", &format!("sites=752&{DAY}"))
            .await
            .status(),
        403
    );
}
