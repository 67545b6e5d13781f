//! Sites and names of the vendor's rows, when the vendor changes them or contradicts itself.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column};

/// A vendor that answers for each site with one row on 2026-02-18, with the site's current entity and name.
#[derive(Clone)]
struct Vendor(Arc<Mutex<World>>);

struct World {
    /// Site id, entity and name.
    sites: Vec<(u64, String, String)>,
    mapping: String,
    calls: usize,
}

impl Vendor {
    async fn start(sites: &[(u64, &str, &str)], mapping: &str) -> (Self, TestApp) {
        let vendor = Self(Arc::new(Mutex::new(World {
            sites: Vec::new(),
            mapping: mapping.to_owned(),
            calls: 0,
        })));
        vendor.set(sites);
        let app = Router::new()
            .fallback(post(answer))
            .with_state(vendor.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let app = Setup::default()
            .with("UPSTREAM__BASE_URL", &url)
            .with("UPSTREAM__ID_TOKEN", "opaque")
            .start()
            .await;
        (vendor, app)
    }

    fn set(&self, sites: &[(u64, &str, &str)]) {
        self.0.lock().unwrap().sites = sites
            .iter()
            .map(|(site, entity, name)| (*site, (*entity).to_owned(), (*name).to_owned()))
            .collect();
    }

    fn calls(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }
}

async fn answer(State(vendor): State<Vendor>, body: String) -> String {
    let body: Value = serde_json::from_str(&body).unwrap();
    let asked = body["config"]["sites_facet"]["site_ids"]
        .as_array()
        .unwrap();
    let mut world = vendor.0.lock().unwrap();
    world.calls += 1;
    let rows: Vec<_> = world
        .sites
        .iter()
        .filter(|(site, ..)| asked.contains(&json!(site)))
        .map(|(site, entity, name)| {
            json!({"time": "2026-02-18 09:00:00", "entity_id": entity, "site_name": name, "entrances": site})
        })
        .collect();
    // Written by hand, since our JSON library writes each key of an object only once.
    format!(
        r#"{{"success":true,"data":{{"InsightResponse":{{"data":{},"site_mapping":{},"status":"success","is_data_truncated":false}}}}}}"#,
        json!(rows),
        world.mapping
    )
}

async fn entrances(app: &TestApp, sites: &str) -> Vec<Value> {
    let query = format!("sites={sites}&dates=2026-02-18&metric=entrances&bucket=total");
    column(&app.rows(&query).await, "entrances")
}

async fn purge(app: &TestApp, query: &str) {
    let response = app.client.delete(app.url(&format!("/v1/cache{query}")));
    assert_eq!(response.send().await.unwrap().status(), 200);
}

async fn names(app: &TestApp) -> Vec<(u64, Value)> {
    let sites = app.get("/v1/sites").send().await.unwrap();
    let sites: Value = sites.json().await.unwrap();
    let sites = sites["data"].as_array().unwrap().iter();
    sites
        .map(|site| (site["site_id"].as_u64().unwrap(), site["name"].clone()))
        .collect()
}

#[tokio::test]
async fn a_mapping_that_contradicts_itself_swaps_no_figures_and_is_counted() {
    let sites = [(750, "E1", "Tyler"), (751, "E2", "Dallas")];
    let (_, app) = Vendor::start(&sites, r#"{"E1":750,"E2":751,"E1":751,"E2":750}"#).await;

    let figures = entrances(&app, "750,751").await;
    let metrics = app.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();

    assert_eq!(figures, [750, 751]);
    assert!(
        metrics.contains(r#"pitaya_upstream_doubts_total{kind="mapping"}"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_purge_drops_learned_facts_of_its_sites_only() {
    let before = [
        (750, "a", "Main Street"),
        (751, "b", "Main Street"),
        (752, "c", "Waco"),
    ];
    let exchanged = [
        (750, "b", "Main Street"),
        (751, "a", "Main Street"),
        (752, "c", "Waco"),
    ];
    let (vendor, app) = Vendor::start(&before, "{}").await;
    entrances(&app, "750,751,752").await;

    vendor.set(&exchanged);
    purge(&app, "?sites=750,751").await;
    let left = names(&app).await;
    vendor.calls();
    let figures = entrances(&app, "750,751,752").await;
    let calls = vendor.calls();
    vendor.set(&before);
    purge(&app, "").await;
    let none = names(&app).await;

    assert_eq!(left, [(752, json!("Waco"))]);
    assert_eq!(figures, [750, 751, 752]);
    assert_eq!(calls, 3, "a batch, and one call for each forgotten site");
    assert_eq!(none, []);
    assert_eq!(entrances(&app, "750,751,752").await, [750, 751, 752]);
}

#[tokio::test]
async fn kept_answers_show_a_corrected_name() {
    let (vendor, app) = Vendor::start(&[(750, "a", "Tiler")], "{}").await;
    let shown = async |date: &str| {
        let query = format!("sites=750&dates={date}&metric=entrances&bucket=total");
        app.rows(&query).await["meta"]["sites"][0]["name"].clone()
    };
    assert_eq!(shown("2026-02-18").await, "Tiler");

    vendor.set(&[(750, "a", "Tyler")]);
    // A report of another metric shows the new name.
    app.rows("sites=750&dates=2026-02-18&metric=walk_bys&bucket=total")
        .await;

    assert_eq!(shown("2026-02-18").await, "Tyler");
}

#[tokio::test]
async fn the_rows_own_name_is_shown_if_the_mapping_gives_entities() {
    let sites: Vec<_> = (750..756)
        .map(|site| (site, format!("{}", site + 35_905)))
        .collect();
    let mapping: Vec<_> = sites
        .iter()
        .map(|(site, entity)| format!(r#""{site}":"{entity}""#))
        .collect();
    let world: Vec<_> = sites
        .iter()
        .map(|(site, entity)| (*site, entity.as_str(), "Tyler"))
        .collect();
    let (vendor, app) = Vendor::start(&world, &format!("{{{}}}", mapping.join(","))).await;

    let figures = entrances(&app, "750,751,752,753,754,755").await;
    purge(&app, "?dates=2026-02-18").await;
    vendor.calls();
    entrances(&app, "750,751,752,753,754,755").await;

    assert_eq!(figures, [750, 751, 752, 753, 754, 755]);
    assert_eq!(vendor.calls(), 1);
    assert!(names(&app).await.iter().all(|(_, name)| name == "Tyler"));
}

#[tokio::test]
async fn sites_with_the_same_shortened_name_are_namesakes() {
    let long = |end: char| format!("{}{end}", "é".repeat(250_000));
    let (one, other) = (long('1'), long('2'));
    let sites = [(750, "a", one.as_str()), (751, "b", other.as_str())];
    let mapping = format!(r#"{{"750":"{one}","751":"{other}"}}"#);
    let (_, app) = Vendor::start(&sites, &mapping).await;

    let figures = entrances(&app, "750,751").await;
    let again = entrances(&app, "750,751").await;

    let lengths: Vec<_> = names(&app)
        .await
        .iter()
        .map(|(site, name)| (*site, name.as_str().unwrap().len()))
        .collect();

    assert_eq!(figures, [750, 751]);
    assert_eq!(again, [750, 751]);
    assert_eq!(lengths, [(750, 256), (751, 256)]);
}
