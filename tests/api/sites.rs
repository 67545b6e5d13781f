//! `[[sites]]`: configured names and zones, and the current day in each zone.

use jiff::SignedDuration;
use pitaya::simulator::{FigureSource, Mapping};
use serde_json::{Value, json};

use crate::support::{Setup, TestApp, cache_status, column};

/// Site 750 is in Auckland, 751 in Honolulu, and 752 has no zone of its own. The first two have configured names.
const DIRECTORY: &str = "
[[sites]]
id = 750
name = \"Auckland, harbour\"
timezone = \"Pacific/Auckland\"
[[sites]]
id = 751
name = \"Waikīkī\"
timezone = \"Pacific/Honolulu\"
[[sites]]
id = 752
";

fn directory() -> Setup {
    Setup::default().file(DIRECTORY)
}

/// The first and last date of a query's answer.
async fn dates(app: &TestApp, sites: &str, dates: &str) -> (String, String) {
    let answer = app
        .rows(&format!(
            "sites={sites}&dates={dates}&metric=entrances&bucket=day"
        ))
        .await;
    let date = |name: &str| answer["meta"][name].as_str().unwrap().to_owned();
    (date("from"), date("to"))
}

async fn today(app: &TestApp, sites: &str) -> String {
    let (from, to) = dates(app, sites, "today").await;
    assert_eq!(from, to);
    from
}

#[tokio::test]
async fn configured_names_and_zones_are_shown_everywhere() {
    let app = directory().with("TIMEZONE", "Europe/Berlin").start().await;

    let before: Value = app.json("/v1/sites").await;
    let answer = app
        .rows("sites=750,751,752&dates=2026-02-18&metric=entrances&bucket=total")
        .await;
    let csv = app
        .traffic("sites=750&dates=2026-02-18&metric=entrances&bucket=total&format=csv")
        .await
        .text()
        .await
        .unwrap();
    let after: Value = app.json("/v1/sites").await;

    assert_eq!(
        before,
        json!({"data": [
            {"site_id": 750, "name": "Auckland, harbour", "timezone": "Pacific/Auckland", "customer_id": 123},
            {"site_id": 751, "name": "Waikīkī", "timezone": "Pacific/Honolulu", "customer_id": 123},
            {"site_id": 752, "name": null, "timezone": "Europe/Berlin", "customer_id": 123},
        ]})
    );
    assert_eq!(
        answer["meta"]["sites"],
        json!([
            {"site_id": 750, "name": "Auckland, harbour", "timezone": "Pacific/Auckland"},
            {"site_id": 751, "name": "Waikīkī", "timezone": "Pacific/Honolulu"},
            {"site_id": 752, "name": "Denver Union Station", "timezone": "Europe/Berlin"},
        ])
    );
    // A site without a configured name shows the vendor's.
    assert_eq!(
        column(&answer, "site_name"),
        ["Auckland, harbour", "Waikīkī", "Denver Union Station"]
    );
    assert!(
        csv.contains("\r\n750,\"Auckland, harbour\",2026-02-18T00:00:00,"),
        "{csv}"
    );
    assert_eq!(after["data"][2]["name"], "Denver Union Station");
}

#[tokio::test]
async fn a_configured_name_is_never_a_formula_in_a_spreadsheet() {
    let app = Setup::default()
        .file("[[sites]]\nid = 750\nname = \"=1+1\"\n")
        .start()
        .await;

    let csv = app
        .traffic("sites=750&dates=2026-02-18&metric=entrances&bucket=total&format=csv")
        .await
        .text()
        .await
        .unwrap();

    assert!(csv.contains("\r\n750,'=1+1,"), "{csv}");
}

#[tokio::test]
async fn neither_blanks_nor_full_width_characters_hide_a_formula_from_the_escape() {
    for name in [
        " =1+1",
        "\u{a0}+1",
        "\u{feff}@a",
        "\u{3000}＝1+1",
        "－1",
        " \t1",
    ] {
        let app = Setup::default()
            .file(&format!("[[sites]]\nid = 750\nname = \"{name}\"\n"))
            .start()
            .await;

        let csv = app
            .traffic("sites=750&dates=2026-02-18&metric=entrances&bucket=total&format=csv")
            .await;

        let csv = csv.text().await.unwrap();
        assert!(csv.contains(&format!("\r\n750,'{name},")), "{csv:?}");
    }
}

#[tokio::test]
async fn today_begins_at_midnight_in_the_sites_own_zone() {
    // Midnight is 11:00 UTC in Auckland in summer, and 10:00 UTC in Honolulu.
    let app = directory().at("2026-02-18T10:59:59Z").start().await;

    assert_eq!(today(&app, "750").await, "2026-02-18");
    assert_eq!(today(&app, "751").await, "2026-02-18");
    app.clock.set("2026-02-18T11:00:00Z");
    assert_eq!(today(&app, "750").await, "2026-02-19");
    assert_eq!(today(&app, "751").await, "2026-02-18");
    app.clock.set("2026-02-19T09:59:59Z");
    assert_eq!(today(&app, "751").await, "2026-02-18");
    app.clock.set("2026-02-19T10:00:00Z");
    assert_eq!(today(&app, "751").await, "2026-02-19");
}

#[tokio::test]
async fn several_zones_share_the_earliest_of_their_days() {
    // At that time it is the 19th in Auckland and Kiritimati, and the 18th in Honolulu, New York and UTC.
    let now = "2026-02-18T23:30:00Z";
    let unset = directory().at(now).start().await;
    let kiritimati = directory()
        .with("TIMEZONE", "Pacific/Kiritimati")
        .at(now)
        .start()
        .await;
    let new_york = directory()
        .with("TIMEZONE", "America/New_York")
        .at(now)
        .start()
        .await;

    for (app, own) in [
        (&unset, "2026-02-18"),
        (&kiritimati, "2026-02-19"),
        (&new_york, "2026-02-18"),
    ] {
        assert_eq!(today(app, "750").await, "2026-02-19");
        assert_eq!(today(app, "751").await, "2026-02-18");
        assert_eq!(today(app, "752").await, own);
        assert_eq!(today(app, "750,751").await, "2026-02-18");
        assert_eq!(today(app, "750,752").await, own);
    }
    unset.clock.set("2026-02-19T00:00:00Z");
    assert_eq!(today(&unset, "752").await, "2026-02-19");
    assert_eq!(today(&unset, "750,752").await, "2026-02-19");
    // In Honolulu the day lasts until 10:00 UTC.
    assert_eq!(today(&unset, "750,751").await, "2026-02-18");
    unset.clock.set("2026-02-19T10:00:00Z");
    assert_eq!(today(&unset, "750,751").await, "2026-02-19");
}

#[tokio::test]
async fn every_relative_date_starts_from_the_sites_own_day() {
    // A Sunday evening on the last of the month in Honolulu is Monday the first in Auckland.
    let app = directory().at("2026-03-01T11:30:00Z").start().await;
    app.clock.set("2026-06-01T05:00:00Z");
    let range = |from: &str, to: &str| (from.to_owned(), to.to_owned());

    for (words, auckland, honolulu) in [
        (
            "today",
            range("2026-06-01", "2026-06-01"),
            range("2026-05-31", "2026-05-31"),
        ),
        (
            "yesterday",
            range("2026-05-31", "2026-05-31"),
            range("2026-05-30", "2026-05-30"),
        ),
        (
            "last_7_days",
            range("2026-05-25", "2026-05-31"),
            range("2026-05-24", "2026-05-30"),
        ),
        (
            "last_30_days",
            range("2026-05-02", "2026-05-31"),
            range("2026-05-01", "2026-05-30"),
        ),
        (
            "this_week",
            range("2026-06-01", "2026-06-01"),
            range("2026-05-25", "2026-05-31"),
        ),
        (
            "this_month",
            range("2026-06-01", "2026-06-01"),
            range("2026-05-01", "2026-05-31"),
        ),
        (
            "last_week",
            range("2026-05-25", "2026-05-31"),
            range("2026-05-18", "2026-05-24"),
        ),
        (
            "last_month",
            range("2026-05-01", "2026-05-31"),
            range("2026-04-01", "2026-04-30"),
        ),
    ] {
        assert_eq!(dates(&app, "750", words).await, auckland, "{words}");
        assert_eq!(dates(&app, "751", words).await, honolulu, "{words}");
    }
}

#[tokio::test]
async fn a_day_is_open_settling_and_final_by_the_sites_own_zone() {
    let app = directory()
        .with("CACHE__OPEN_TTL", "60s")
        .with("CACHE__SETTLING_TTL", "15m")
        .with("CACHE__SETTLE_AFTER", "6h")
        .with("CACHE__FINAL_TTL", "30d")
        .with("CACHE__HTTP_MAX_AGE", "365d")
        .with("CACHE__STALE_WHILE_REVALIDATE", "0s")
        .at("2026-02-18T12:00:00Z")
        .start()
        .await;
    let day = |site: u64| format!("sites={site}&dates=2026-02-18&metric=entrances&bucket=day");
    let seconds_good = async |site: u64| {
        // A cell fetched before its day was over stays short-lived, so each check starts with an empty cache.
        app.client
            .delete(app.url("/v1/cache"))
            .send()
            .await
            .unwrap();
        let fields = app.traffic(&day(site)).await.headers().clone();
        let max_age: u64 = fields["cache-control"]
            .to_str()
            .unwrap()
            .strip_prefix("private, max-age=")
            .unwrap()
            .parse()
            .unwrap();
        max_age
    };
    let (open, settling, final_) = (50..=66, 800..=990, 2_300_000..=2_860_000);

    // The 18th ends at 11:00 UTC in Auckland, at 10:00 UTC of the 19th in Honolulu and, if the zone is unknown, at 12:00 UTC, when it is
    // over everywhere.
    for (now, auckland, honolulu, unknown) in [
        ("2026-02-18T10:59:00Z", &open, &open, &open),
        ("2026-02-18T11:00:00Z", &settling, &open, &open),
        ("2026-02-18T16:59:59Z", &settling, &open, &open),
        ("2026-02-18T17:00:00Z", &final_, &open, &open),
        ("2026-02-19T09:58:00Z", &final_, &open, &open),
        ("2026-02-19T10:00:00Z", &final_, &settling, &open),
        ("2026-02-19T12:00:00Z", &final_, &settling, &settling),
        ("2026-02-19T16:00:00Z", &final_, &final_, &settling),
        ("2026-02-19T18:00:00Z", &final_, &final_, &final_),
    ] {
        app.clock.set(now);
        for (site, expected) in [(750, auckland), (751, honolulu), (752, unknown)] {
            let good = seconds_good(site).await;
            assert!(
                expected.contains(&good),
                "{now}: site {site} is good for {good} s"
            );
        }
    }
}

#[tokio::test]
async fn provisional_dates_follow_the_zones_of_the_requested_sites() {
    // It is 22:00 on the 17th in Honolulu and 21:00 on the 18th in Auckland.
    let app = directory().at("2026-02-18T08:00:00Z").start().await;
    let provisional = async |sites: &str| {
        let answer = app
            .rows(&format!(
                "sites={sites}&dates=2026-02-10..2026-02-18&metric=entrances&bucket=day"
            ))
            .await;
        answer["meta"]["provisional_from"].clone()
    };

    assert_eq!(provisional("750").await, "2026-02-16");
    assert_eq!(provisional("751").await, "2026-02-15");
    assert_eq!(provisional("750,751").await, "2026-02-15");
    app.clock.advance(SignedDuration::from_hours(30 * 24));
    assert_eq!(provisional("750,751").await, Value::Null);
}

#[tokio::test]
async fn a_day_is_not_fetched_before_it_has_begun_at_the_site() {
    let app = directory().at("2026-02-18T11:30:00Z").start().await;
    let tomorrow = |site: u64| format!("sites={site}&dates=2026-02-19&metric=entrances&bucket=day");

    let honolulu = app.traffic(&tomorrow(751)).await;
    assert!(
        cache_status(&honolulu).starts_with("pitaya; hit"),
        "{}",
        cache_status(&honolulu)
    );
    assert_eq!(app.vendor.report_count(), 0);
    // The day began half an hour ago in Auckland; if the zone is unknown, it may have begun.
    for site in [750, 752] {
        app.vendor.reset_counts();
        app.rows(&tomorrow(site)).await;
        assert_eq!(app.vendor.report_count(), 1, "{site}");
    }
    app.clock.set("2026-02-19T10:00:00Z");
    app.vendor.reset_counts();
    app.rows(&tomorrow(751)).await;
    assert!(app.vendor.reports().iter().any(|call| call.whole));
}

#[tokio::test]
async fn a_purge_by_relative_dates_means_the_sites_own_day() {
    let app = directory().at("2026-02-18T11:30:00Z").start().await;
    app.rows("sites=750,751&dates=2026-02-17..2026-02-19&metric=entrances&bucket=day")
        .await;
    let purged = async |query: &str| {
        let response = app
            .client
            .delete(app.url(&format!("/v1/cache?{query}")))
            .send()
            .await
            .unwrap();
        response.json::<Value>().await.unwrap()["purged"].clone()
    };
    let hit = async |site: u64, date: &str| {
        let response = app
            .traffic(&format!(
                "sites={site}&dates={date}&metric=entrances&bucket=day"
            ))
            .await;
        cache_status(&response).starts_with("pitaya; hit")
    };

    assert_eq!(purged("sites=751&dates=today").await, 1);
    assert_eq!(purged("sites=750&dates=today").await, 1);

    assert!(hit(751, "2026-02-17").await && hit(750, "2026-02-18").await);
    assert!(!hit(751, "2026-02-18").await && !hit(750, "2026-02-19").await);
}

#[tokio::test]
async fn a_day_with_skipped_hours_is_shown_without_those_hours() {
    let app = Setup::default()
        .with("TIMEZONE", "Europe/Berlin")
        .at("2026-04-02T12:00:00Z")
        .start()
        .await;
    let rows = async |bucket: &str| {
        let query = format!(
            "sites=750&dates=2026-03-28..2026-03-30&hours=02:00-03:00&metric=entrances&bucket={bucket}"
        );
        column(&app.rows(&query).await, "time")
    };

    assert_eq!(
        rows("day").await,
        [
            "2026-03-28T00:00:00",
            "2026-03-29T00:00:00",
            "2026-03-30T00:00:00"
        ]
    );
    assert_eq!(
        rows("hour").await,
        ["2026-03-28T02:00:00", "2026-03-30T02:00:00"]
    );
    let total = "sites=750&dates=2026-03-29&hours=02:00-03:00&metric=entrances&bucket=total";
    assert_eq!(column(&app.rows(total).await, "entrances"), [Value::Null]);
}

#[tokio::test]
async fn earlier_answers_show_a_name_learned_later() {
    let app = Setup::default()
        .vendor(|vendor| {
            vendor.quirks.figures = FigureSource::Example;
            vendor.quirks.mapping = Mapping::Empty;
        })
        .start()
        .await;
    let name = async |date: &str| {
        let query = format!("sites=750&dates={date}&metric=entrances&bucket=day");
        app.rows(&query).await["meta"]["sites"][0]["name"].clone()
    };

    // Only rows contain the name, and this day has none.
    assert_eq!(name("2026-02-10").await, Value::Null);
    assert_eq!(name("2026-02-18").await, "Tyler");
    app.vendor.reset_counts();

    assert_eq!(name("2026-02-10").await, "Tyler");
    assert_eq!(app.vendor.report_count(), 0);
}
