//! Comparisons of only the sites that were open throughout both ranges.

use std::collections::BTreeSet;

use pitaya::simulator::Simulator;
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, column, problem};

/// Compares 2026-02-16..2026-02-22 with the seven days before.
const SITES: &str = r#"
[[sites]]
id = 750
tags = ["region=North"]
[[sites]]
id = 751
tags = ["region=North"]
opened = "2026-02-09"
closed = 2026-02-23
[[sites]]
id = 752
tags = ["region=North"]
opened = 2026-02-10
[[sites]]
id = 753
tags = ["region=South"]
closed = "2026-02-22"
[[sites]]
id = 754
tags = ["region=West"]
opened = "2026-02-12"
closed = "2026-02-13"
[[sites]]
id = 755
tags = ["region=West"]
opened = "1954-05-01"
closed = "2031-01-01"
"#;

const QUERY: &str = "metric=entrances,conversion_rate&dates=2026-02-16..2026-02-22&compare=previous_week&bucket=day";

async fn app() -> TestApp {
    let setup = Setup::default().file(SITES).at("2026-06-01T12:00:00Z");
    setup.with("TIMEZONE", "UTC").start().await
}

/// The sites that Pitaya has requested from the vendor.
fn asked(vendor: &Simulator) -> BTreeSet<u64> {
    let requests = vendor.reports().into_iter().filter_map(|call| call.request);
    let sites = requests.flat_map(|request| request.sites);
    sites.map(|site| site.get()).collect()
}

/// The sites left out of an answer, with the reasons.
fn left_out(answer: &Value) -> Vec<(u64, String)> {
    let list = answer["meta"]["comparison"]["left_out"].as_array().unwrap();
    let site = |it: &Value| {
        assert_eq!(it.as_object().unwrap().len(), 2);
        let reason = it["reason"].as_str().unwrap();
        (it["site_id"].as_u64().unwrap(), reason.to_owned())
    };
    list.iter().map(site).collect()
}

#[tokio::test]
async fn only_sites_that_were_open_on_every_day_of_both_ranges_are_fetched_and_compared() {
    let app = app().await;

    let answer = app
        .rows(&format!("sites=all&{QUERY}&comparable=true"))
        .await;

    assert_eq!(
        left_out(&answer),
        [
            (752, "opened_later".to_owned()),
            (753, "closed_earlier".to_owned()),
            (754, "opened_later".to_owned()),
        ]
    );
    assert_eq!(asked(&app.vendor), BTreeSet::from([750, 751, 755]));
    let listed = answer["meta"]["sites"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|site| &site["site_id"]).collect();
    assert_eq!(listed, [750, 751, 755]);
    let mut shown = column(&answer, "site_id");
    shown.dedup();
    assert_eq!(shown, [750, 751, 755]);

    // Without the parameter, and with its default, all sites are compared.
    for rest in ["", "&comparable=false"] {
        let all = app.rows(&format!("sites=all&{QUERY}{rest}")).await;
        assert_eq!(all["meta"]["comparison"]["left_out"], json!([]));
        assert_eq!(all["meta"]["sites"].as_array().unwrap().len(), 6);
    }
}

#[tokio::test]
async fn all_figures_are_those_of_the_comparable_sites_only() {
    let app = app().await;

    for group_by in ["site", "none", "region"] {
        let query = format!("{QUERY}&group_by={group_by}&include=coverage,totals");
        let mut answer = app
            .rows(&format!("sites=all&{query}&comparable=true"))
            .await;
        let expected = app.rows(&format!("sites=750,751,755&{query}")).await;

        assert_eq!(left_out(&answer).len(), 3, "{group_by}");
        answer["meta"]["comparison"]["left_out"] = json!([]);
        assert_eq!(answer, expected, "{group_by}");
        if group_by == "none" {
            assert_eq!(answer["data"][0]["sites_expected"], 3);
        }
        if group_by == "region" {
            let mut regions = column(&answer, "region");
            regions.dedup();
            assert_eq!(regions, ["North", "West"]);
        }
        let csv = async |query: &str| {
            let answer = app.traffic(query).await;
            answer.text().await.unwrap()
        };
        let query = format!("{QUERY}&group_by={group_by}&format=csv");
        assert_eq!(
            csv(&format!("sites=all&{query}&comparable=true")).await,
            csv(&format!("sites=750,751,755&{query}")).await
        );
    }
    assert_eq!(asked(&app.vendor), BTreeSet::from([750, 751, 755]));
}

#[tokio::test]
async fn both_ranges_count_whichever_is_earlier() {
    let app = app().await;
    let of = async |rest: &str| {
        let query = format!("sites=all&metric=entrances&bucket=total&comparable=true&{rest}");
        left_out(&app.rows(&query).await)
    };

    let later = of("dates=2026-02-09..2026-02-15&compare=2026-02-16..2026-02-22").await;

    let expected = [
        (752, "opened_later".to_owned()),
        (753, "closed_earlier".to_owned()),
        (754, "opened_later".to_owned()),
    ];
    assert_eq!(later, expected);
    // On these dates, site 753 has its last open day, and site 752 its first: both count as open.
    let open = of("dates=2026-02-21&compare=previous_week").await;
    assert_eq!(open, [(754, "closed_earlier".to_owned())]);
    let first = of("dates=2026-02-17&compare=previous_week").await;
    assert_eq!(first, [(754, "opened_later".to_owned())]);
    // A day without a counterpart belongs to one range only.
    let leap = of("dates=2024-02-29&compare=previous_year").await;
    let leap: Vec<_> = leap.into_iter().map(|(site, _)| site).collect();
    assert_eq!(leap, [751, 752, 754]);
}

#[tokio::test]
async fn a_query_that_leaves_no_site_or_compares_nothing_is_a_fault() {
    let app = app().await;

    for query in [
        format!("sites=752,753,754&{QUERY}&comparable=true"),
        format!("sites=752,753,754&{QUERY}&comparable=true&group_by=region&time_format=offset"),
        "sites=750&metric=entrances&dates=2026-02-16&comparable=true".to_owned(),
        format!("sites=750&{QUERY}&comparable=yes"),
    ] {
        let (status, slug, body) = app.problem(&query).await;

        assert_eq!((status, slug.as_str()), (400, "invalid-parameter"));
        let faults = body["errors"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{body}");
        assert_eq!(faults[0]["parameter"], "comparable", "{query}");
    }
    // The default needs no comparison.
    app.rows("sites=750&metric=entrances&dates=2026-02-16&comparable=false")
        .await;
    assert_eq!(asked(&app.vendor), BTreeSet::from([750]));
    // An impossible comparison is a separate fault.
    let (_, _, body) = app
        .problem("sites=750&metric=entrances&dates=2026-02-16&compare=never&comparable=true")
        .await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["errors"][0]["parameter"], "compare");
}

#[tokio::test]
async fn an_explained_query_needs_only_the_comparable_sites() {
    let app = app().await;
    let query = "sites=750,752&metric=entrances&dates=2026-02-16&compare=previous_week";
    let needed = async |rest: &str| {
        let answer = app.get(&format!("/v1/explain?{query}{rest}")).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["cells"]["needed"].as_u64().unwrap()
    };

    assert_eq!(needed("").await, 4);
    assert_eq!(needed("&comparable=true").await, 2);
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn the_list_of_sites_shows_known_opening_and_closing_dates() {
    let app = app().await;

    let list = app.get("/v1/sites").send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let csv = app.get("/v1/sites?format=csv").send().await.unwrap();
    let csv = csv.text().await.unwrap();

    assert_eq!(
        list["data"][1],
        json!({
            "site_id": 751, "name": null, "timezone": "UTC", "customer_id": 123, "tags": ["region=North"],
            "opened": "2026-02-09", "closed": "2026-02-23",
        })
    );
    let known = |site: usize, name: &str| list["data"][site].get(name).cloned();
    assert_eq!(known(0, "opened").or(known(0, "closed")), None);
    assert_eq!(known(2, "opened"), Some(json!("2026-02-10")));
    assert_eq!(known(2, "closed"), None);
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].ends_with(",tags,hours,opened,closed"));
    assert!(lines[1].ends_with(",region=North,,,"));
    assert!(lines[2].ends_with(",region=North,,2026-02-09,2026-02-23"));
}

#[tokio::test]
async fn reloaded_dates_apply_from_the_next_request() {
    let app = app().await;
    let query = format!("sites=750,751&{QUERY}&comparable=true");
    assert_eq!(left_out(&app.rows(&query).await), []);
    let calls = app.vendor.report_count();

    let later = SITES.replace("opened = \"2026-02-09\"", "opened = \"2026-02-11\"");
    let (changed, needs_restart) = app.reload(&later).await;

    assert_eq!((changed.len(), needs_restart.len()), (1, 0));
    assert_eq!(changed, ["sites"]);
    let expected = [(751, "opened_later".to_owned())];
    assert_eq!(left_out(&app.rows(&query).await), expected);
    // A reload with a wrong date is refused, and changes nothing.
    app.write_file(&SITES.replace("opened = \"2026-02-09\"", "opened = \"2026-02-24\""));
    let refused = app.client.post(app.url("/v1/reload")).send().await.unwrap();
    let (status, _, body) = problem(refused).await;
    assert_eq!(status, 422);
    assert!(
        body.to_string()
            .contains("is not after opened = 2026-02-24"),
        "{body}"
    );
    assert_eq!(left_out(&app.rows(&query).await), expected);
    assert_eq!(app.vendor.report_count(), calls);
}
