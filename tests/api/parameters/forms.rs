//! Every form of every parameter.

use super::*;

#[tokio::test]
async fn every_bad_form_of_every_parameter_is_named_with_a_valid_example() {
    let app = TestApp::start().await;
    let bad = [
        (
            "sites",
            "|,|750,|,750|750,,751|0|-1|+750|%2B750|0750|%20750|750%20|750+|750.0|7.5e2|abc\
             |0x2EE|750;751|750%7C751|750%00|%D9%A7%D9%A5%D9%A0|9007199254740992\
             |18446744073709551616|99999999999999999999999|750..752|all|*|[750]|null|%25\
             |750%2C|%E2%80%8B750",
        ),
        (
            "dates",
            "|2026-2-18|26-02-18|2026-02-30|2026-02-29|2026-13-01|2026-00-10|2026-01-00\
             |20260218|18.02.2026|2026/02/18|2026-02-18..|..2026-02-18|..\
             |2026-02-18...2026-02-19|2026-02-18..2026-02-19..2026-02-20\
             |2026-02-19..2026-02-18|2026-02-18,2026-02-19|2026-02-18T00:00:00|2026-02-18Z\
             |2026-W8|2026-w08|2026-W00|2025-W53|1970-W01|2026-2|2026-13|9999|1969|-2026-02-18|%2B2026-02-18|12026-02-18|0000-01-01|1969-12-31\
             |9999-01-01|%202026-02-18|2026-02-18%20|tomorrow|Today|TODAY|last_0_days|last_08_days|last_367_days\
             |last_days|last_7_day|last-7-days|today..today|yesterday..today|..today|..yesterday\
             |2026-02-18..Today|2026-02-18..tomorrow|2026-02-18..last_7_days|9998-12-31..today\
             |2026-03..2026-02|this_day|next_week|now|fy2026|%D9%A2%D9%A0%D9%A2%D9%A6-02-18|2026-02-18%00\
             |2026-02-18-2026-02-19|2026-02-18:2026-02-19",
        ),
        (
            "metric",
            "|,|entrances,|,entrances|entrances,,dwell_time|Entrances|entrance\
             |entrances;dwell_time|entrances%20|%20entrances|*|all|revenue|dwell-time\
             |entrances%00|entrances,revenue|peak",
        ),
        (
            "bucket",
            "|0|1|60|1m|3m|7m|45m|90m|05m|5M|5min|0h|5h|7h|9h|10h|16h|48h|25h|01h|1H|-1h\
             |%2B1h|1.0h|2d|1D|hours|Hour|days|Day|2w|quarters|1y|all|sum|hour,day|120m\
             |1440m",
        ),
        (
            "hours",
            "|09:00|09:00-|-17:00|9-17|9:00-17:00|09:00-9:30|0900-1700|09:00-09:00\
             |09:01-10:00|09:00-10:04|24:00-24:00|00:00-24:05\
             |09:60-10:00|09:00-17:00-18:00|09:00:00-17:00:00|25:00-26:00|09:00..17:00\
             |09:00,17:00|09:00%20-%2017:00|09.00-17.00|9am-5pm|-9:00-17:00|%2B9:00-17:00\
             |all|00:00-00:00",
        ),
        (
            "group_by",
            "|sites|Site|SITE|all|null|site,none|total|customer|none%20",
        ),
        (
            "week_start",
            "|Monday|MONDAY|mon|tuesday|0|1|iso|monday,sunday|monday%20",
        ),
        ("calendar", "|NRF|Nrf|retail|4-5-4|gregorian,nrf|iso|nrf%20"),
        (
            "max_age",
            "|15|14s|0s|-15s|%2B15s|15S|15%20s|015s|1w|1m30s|15sec|0.5h|3651d|none",
        ),
        ("time_format", "|UTC|Local|offset,utc|iso8601|Z|zoned"),
        ("fill", "|0|NULL|Null|zeros|zero,null|false|nan|%20zero"),
        ("comparable", "|1|yes|True|TRUE|on|true,false|true%20"),
        ("partial", "|true|1|Allow|yes|deny,allow|allowed"),
        (
            "format",
            "|xml|JSON|jsonl|text/csv|application/json|csv;header=absent|xls|XLSX|json,csv",
        ),
        (
            "customer",
            "|0|abc|123,124|-1|%2B123|0123|123.0|9007199254740992|123%20",
        ),
    ];

    for (parameter, values) in bad {
        for value in values.split('|') {
            let query = with(parameter, value);

            let faults = faults(&app, &query).await;

            assert!(!faults.is_empty(), "{query}");
            for (named, detail) in faults {
                assert_eq!(named, parameter, "{query}: {detail}");
                let shown = detail.contains(&format!("as in {parameter}="))
                    || detail.contains("did you mean");
                assert!(shown, "{query}: {detail}");
            }
        }
    }
    assert_eq!(app.vendor.report_count(), 0);
}

#[tokio::test]
async fn every_valid_form_of_every_parameter_is_accepted() {
    let app = TestApp::start().await;
    let good = [
        (
            "sites",
            "750|1|9007199254740991|751,750|750,750|750%2C751|%37%35%30",
        ),
        (
            "dates",
            "2026-02-18|2026-02-18..2026-02-18|2026-02-18..2026-02-19|2024-02-29\
             |2026-02-18%2E%2E2026-02-19|1970-01-01|9998-12-31|today|yesterday|last_7_days\
             |last_30_days|this_week|this_month|last_week|last_month|last_1_days|last_14_days\
             |last_365_days|last_366_days|this_quarter|last_quarter|this_year|last_year|2026-02|2026|2026-W08\
             |2026-W53|2026-02-01..2026-02-18|2026-01..2026-02|2025-12..2026-W02|2026-02-18..yesterday\
             |2026-02..today|2026..today",
        ),
        (
            "metric",
            "entrances|walk_bys|transactions|dwell_time|occupancy|peak_occupancy\
             |conversion_rate|capture_rate|entrances,entrances\
             |entrances,walk_bys,transactions,dwell_time,occupancy,peak_occupancy,conversion_rate,capture_rate",
        ),
        (
            "bucket",
            "5m|10m|15m|20m|30m|60m|1h|2h|3h|4h|6h|8h|12h|24h|1d|1w|hour|day|week|month|quarter|year|total",
        ),
        (
            "hours",
            "09:00-17:00|00:00-24:00|23:55-24:00|00:00-00:05|09%3A05-17%3A10|22:00-06:00|17:00-09:00",
        ),
        ("group_by", "site|none"),
        ("calendar", "gregorian|nrf"),
        ("week_start", "monday|sunday|saturday"),
        ("time_format", "local"),
        ("max_age", "15s|60s|1m|36h|3650d"),
        ("fill", "null|zero|none"),
        ("comparable", "false"),
        ("partial", "deny|allow"),
        ("format", "json|csv|ndjson"),
        ("customer", "123"),
    ];

    for (parameter, values) in good {
        for value in values.split('|') {
            let query = with(parameter, value);

            let response = app.traffic(&query).await;

            assert_eq!(
                response.status(),
                200,
                "{query}: {}",
                response.text().await.unwrap()
            );
        }
    }
}

#[tokio::test]
async fn equivalent_forms_are_one_query() {
    let app = TestApp::start().await;
    let etag = async |query: &str| app.traffic(query).await.headers()["etag"].clone();

    for (one, other) in [
        (
            "sites=750,751&dates=2026-02-18&metric=entrances",
            "metric=entrances,entrances&dates=2026-02-18..2026-02-18&sites=751,750,751",
        ),
        (
            "sites=750&dates=2026-02-18&metric=entrances",
            "sites=750&dates=2026-02-18&metric=entrances&bucket=60m&fill=null&group_by=site&partial=deny&format=json&customer=123&hours=00:00-24:00",
        ),
        (
            "sites=750&dates=2026-02-18&metric=entrances&bucket=day",
            "sites=750&dates=2026-02-18&metric=entrances&bucket=24h",
        ),
        (
            "sites=750&dates=2026-02-18&metric=entrances&bucket=day",
            "sites=750&dates=2026-02-18&metric=entrances&bucket=1d",
        ),
        (
            "sites=750&dates=2026-02-16..2026-02-22&metric=entrances&bucket=week",
            "sites=750&dates=2026-W08&metric=entrances&bucket=1w&week_start=monday",
        ),
        (
            "sites=750,751,752&dates=2026-02-18&metric=entrances,occupancy",
            "sites=750&metric=entrances&dates=2026-02-18&sites=752,751&metric=occupancy&sites=750",
        ),
        (
            "sites=750&dates=2026-02-18&metric=entrances&bucket=hour",
            "sites=750&dates=2026-02-18&metric=entrances&bucket=1h",
        ),
        (
            "sites=750,751&dates=2026-02-18&metric=entrances",
            "&&sites=75%30%2C751&d%61tes=2026-02-18&metric=%65ntrances&",
        ),
    ] {
        assert_eq!(etag(one).await, etag(other).await, "{other}");
    }
    let order = app
        .rows("sites=750&dates=2026-02-18&metric=dwell_time,entrances")
        .await;
    let names: Vec<_> = order["meta"]["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"].clone())
        .collect();
    assert_eq!(names, ["dwell_time", "entrances"]);
}

#[tokio::test]
async fn only_list_parameters_may_be_repeated() {
    let app = TestApp::start().await;

    for (query, named) in [
        (with("bucket", "day&bucket=day"), vec!["bucket"]),
        (with("bucket", "day&bucket=hour&bucket=day"), vec!["bucket"]),
        (with("bucket", "day&%62ucket=day"), vec!["bucket"]),
        (with("sites", "750&sites="), vec!["sites"]),
        (with("sites", "750&sites=751,"), vec!["sites"]),
        (with("metric", "entrances&metric=x"), vec!["metric"]),
        (with("fill", "zero&fill=zero"), vec!["fill"]),
        (with("x", "1&x=1"), vec!["x", "x"]),
        (with("dates", "2026-02-18&dates="), vec!["dates"]),
    ] {
        assert_eq!(faulty(&app, &query).await, named, "{query}");
    }
}

#[tokio::test]
async fn undecodable_values_are_named_too() {
    let app = TestApp::start().await;

    for (query, named) in [
        (with("sites", "%ff"), "sites"),
        (with("sites", "750%C3%28"), "sites"),
        (with("sites", "%C0%80"), "sites"),
        (with("sites", "%ED%A0%80"), "sites"),
        (with("sites", "750%"), "sites"),
        (with("sites", "750%2"), "sites"),
        (with("sites", "%zz"), "sites"),
        (with("sites", "%u0037"), "sites"),
        (with("fill", "%ff"), "fill"),
        (with("%ff", "1"), "%ff"),
        (with("%zz", "1"), "%zz"),
        (format!("{}&=1", with("fill", "null")), ""),
        (format!("{}&fill", with("bucket", "hour")), "fill"),
        (
            format!("{};bucket=day", with("metric", "entrances")),
            "metric",
        ),
        (with("sites%00", "1"), "sites\\u{0}"),
    ] {
        assert_eq!(faulty(&app, &query).await, [named], "{query}");
    }
}
