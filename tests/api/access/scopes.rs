//! The data that a caller may see; nothing reveals the rest.

use pitaya::simulator::Revision;
use serde_json::json;

use super::*;
use crate::support::cache_status;

#[tokio::test]
async fn a_refusal_is_the_same_whether_a_site_exists_is_cached_or_not() {
    let app = guarded().start().await;
    let cached = "dates=2026-02-18&metric=entrances";
    let etag = ask(
        &app,
        "everything",
        &format!("customer=123&sites=752&{cached}"),
    )
    .await
    .headers()["etag"]
        .clone();
    let own = answer(&app, "tyler", TYLER).await;
    app.vendor.reset_counts();

    let mut refusals = Vec::new();
    for query in [
        format!("sites=752&{cached}"),
        format!("sites=753&{cached}"),
        format!("sites=750,752&{cached}"),
        format!("sites=9007199254740991&{cached}"),
        format!("sites=752&{cached}&group_by=none"),
        format!("sites=752&{cached}&partial=allow"),
        format!("sites=752&{cached}&format=csv"),
        "sites=752&dates=2199-01-01&metric=entrances".to_owned(),
        "sites=752&dates=1970-01-01..2026-02-18&metric=entrances&bucket=5m".to_owned(),
        format!("customer=124&sites=750&{cached}"),
        format!("customer=125&sites=750&{cached}"),
        format!("customer=123&sites=752&{cached}"),
    ] {
        let plain = app.get(&format!("/v1/traffic?{query}")).key("tyler");
        let conditional = app
            .get(&format!("/v1/traffic?{query}"))
            .key("tyler")
            .header("if-none-match", &etag);
        let any = app
            .get(&format!("/v1/traffic?{query}"))
            .key("tyler")
            .header("if-none-match", "*");
        let strange = app
            .get(&format!("/v1/traffic?{query}"))
            .key("tyler")
            .header("accept", "image/png");
        for request in [plain, conditional, any, strange] {
            refusals.push((query.clone(), seen(request.send().await.unwrap()).await));
        }
    }

    let (_, (status, fields, body)) = refusals[0].clone();
    assert_eq!(status, 403);
    assert!(body.contains("/problems/forbidden"), "{body}");
    assert!(
        !fields.contains_key("cache-status") && !fields.contains_key("etag"),
        "{fields:?}"
    );
    for (query, refusal) in &refusals {
        assert_eq!(*refusal, refusals[0].1, "{query}");
    }
    assert_eq!(app.vendor.report_count(), 0);
    assert_eq!(own["data"][0]["site_id"], 750);
}

#[tokio::test]
async fn head_reveals_no_more_of_others_than_get() {
    let app = guarded().start().await;
    answer(&app, "austin", AUSTIN).await;

    let mut refusals = Vec::new();
    for query in [AUSTIN, "sites=752&dates=2026-02-18&metric=entrances"] {
        let head = app
            .client
            .head(app.url(&format!("/v1/traffic?{query}")))
            .key("tyler");
        refusals.push(seen(head.send().await.unwrap()).await);
    }

    assert_eq!(refusals[0].0, 403);
    assert_eq!(refusals[0], refusals[1]);
}

#[tokio::test]
async fn only_sites_of_a_customers_directory_may_be_requested() {
    let sites = "[[sites]]\nid = 750\ncustomer_id = 123\n[[sites]]\nid = 751\ncustomer_id = 123\n";
    let clients = [
        client("everything", &["everything"], ""),
        client("outside", &["outside"], "site_ids = [750, 752]"),
    ];
    let app = with_file(&format!("{}{sites}", clients.concat()))
        .start()
        .await;
    let asked = async |key: &str, customer: u32, site: u32| {
        let query = format!("customer={customer}&sites={site}&dates=2026-02-18&metric=entrances");
        ask(&app, key, &query).await.status().as_u16()
    };

    assert_eq!(asked("everything", 123, 750).await, 200);
    assert_eq!(asked("everything", 123, 752).await, 403);
    // A customer without a directory is not bound by that of another.
    assert_eq!(asked("everything", 124, 752).await, 200);
    assert_eq!(asked("outside", 123, 750).await, 200);
    assert_eq!(asked("outside", 123, 751).await, 403);
    assert_eq!(asked("outside", 123, 752).await, 403);
    assert_eq!(asked("outside", 124, 752).await, 200);
}

#[tokio::test]
async fn one_customers_figures_are_never_shown_for_another() {
    let app = guarded().start().await;
    let query = "sites=750&dates=2026-02-18&metric=entrances&bucket=hour";

    let ours = ask(&app, "everything", &format!("customer=123&{query}")).await;
    let theirs = ask(&app, "neighbour", query).await;

    assert_eq!(app.vendor.report_count(), 2);
    assert!(
        cache_status(&theirs).starts_with("pitaya; fwd=miss"),
        "{}",
        cache_status(&theirs)
    );
    assert_ne!(ours.headers()["etag"], theirs.headers()["etag"]);
    let (ours, theirs): (Value, Value) = (ours.json().await.unwrap(), theirs.json().await.unwrap());
    assert_eq!(
        (&ours["meta"]["customer_id"], &theirs["meta"]["customer_id"]),
        (&json!(123), &json!(124))
    );
    assert_ne!(ours["data"], theirs["data"]);
}

#[tokio::test]
async fn a_caller_with_several_customers_must_name_one() {
    let app = guarded().start().await;

    let (status, slug, body) = problem(ask(&app, "everything", TYLER).await).await;
    let neighbour = answer(&app, "neighbour", TYLER).await;

    assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
    assert_eq!(body["errors"][0]["parameter"], "customer");
    assert_eq!(neighbour["meta"]["customer_id"], 124);
}

#[tokio::test]
async fn each_caller_sees_a_list_of_its_own_sites() {
    let app = guarded().start().await;
    answer(
        &app,
        "everything",
        "customer=123&sites=750,751,752&dates=2026-02-18&metric=entrances",
    )
    .await;
    answer(
        &app,
        "neighbour",
        "sites=760&dates=2026-02-18&metric=entrances",
    )
    .await;

    assert_eq!(site_ids(&app, "everything").await, [750, 751, 752, 760]);
    assert_eq!(site_ids(&app, "tyler").await, [750]);
    assert_eq!(site_ids(&app, "austin").await, [751]);
    assert_eq!(site_ids(&app, "neighbour").await, [760]);
}

#[tokio::test]
async fn a_condition_is_evaluated_within_its_callers_scope() {
    let app = guarded().start().await;
    let etag = ask(&app, "austin", AUSTIN).await.headers()["etag"].clone();
    let conditional = async |key: &str, query: &str| {
        let request = app
            .get(&format!("/v1/traffic?{query}"))
            .key(key)
            .header("if-none-match", &etag);
        request.send().await.unwrap().status().as_u16()
    };

    assert_eq!(conditional("austin", AUSTIN).await, 304);
    assert_eq!(
        conditional("everything", &format!("customer=123&{AUSTIN}")).await,
        304
    );
    assert_eq!(conditional("tyler", AUSTIN).await, 403);
    assert_eq!(conditional("tyler", TYLER).await, 200);
    assert_eq!(conditional("neighbour", AUSTIN).await, 200);
    app.vendor.revise(Revision::default());
    purged(&app, "operator", "").await;
    assert_eq!(conditional("austin", AUSTIN).await, 200);
}

#[tokio::test]
async fn no_clients_requests_change_another_clients_answers() {
    let alone = guarded().start().await;
    let crowded = guarded().start().await;
    let watch = async |app: &TestApp| {
        let mut answers = Vec::new();
        for query in [
            AUSTIN,
            &format!("{AUSTIN}&format=csv"),
            "sites=751&dates=2026-02-18&metric=entrances,capture_rate&bucket=day",
            "sites=750&dates=2026-02-18&metric=entrances",
        ] {
            let (status, mut fields, body) = seen(ask(app, "austin", query).await).await;
            // A figure's lifetime has jitter, drawn anew for each report.
            fields.remove("cache-control");
            let cache_status = fields.remove("cache-status").unwrap_or_default();
            fields.insert(
                "cache-status".to_owned(),
                cache_status.split("ttl").next().unwrap().to_owned(),
            );
            answers.push((status, fields, body));
        }
        let sites = app.get("/v1/sites").key("austin").send().await.unwrap();
        answers.push(seen(sites).await);
        answers
    };

    let expected = [watch(&alone).await, watch(&alone).await];
    let mut got = Vec::new();
    for _ in 0..2 {
        answer(&crowded, "tyler", TYLER).await;
        answer(
            &crowded,
            "tyler",
            "sites=750&dates=2026-02-18&metric=entrances,walk_bys&bucket=5m",
        )
        .await;
        assert_eq!(ask(&crowded, "tyler", AUSTIN).await.status(), 403);
        assert_eq!(
            ask(
                &crowded,
                "tyler",
                "sites=750,751&dates=2026-02-18&metric=entrances"
            )
            .await
            .status(),
            403
        );
        assert_eq!(ask(&crowded, "tyler", "sites=x").await.status(), 400);
        assert_eq!(purge(&crowded, "tyler", "").await.status(), 403);
        purged(&crowded, "tyler-operator", "").await;
        assert_eq!(
            purge(&crowded, "tyler-operator", "sites=751")
                .await
                .status(),
            403
        );
        answer(&crowded, "neighbour", AUSTIN).await;
        got.push(watch(&crowded).await);
    }

    assert_eq!(got, expected);
}
