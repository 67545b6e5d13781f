//! From the vendor's config to a query of cells.

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::known_config::KnownConfig;
use crate::domain::bucket::{Bucket, Hours};
use crate::domain::dates::{DateRange, parse_date};
use crate::domain::metric::{Metric, VendorMetric};
use crate::domain::query::{Fill, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::params::ParameterFault;
use crate::vendor::{DateFacet, GroupByFacet, MetricsFacet, ReportConfig, SitesFacet, TimeFacet};

/// The end of a whole day, as the vendor writes it.
const LAST_SECOND: &str = "23:59:59";

/// The body of a call for a report.
#[derive(Debug)]
pub(super) struct Call {
    /// The config, as it was sent.
    pub(super) config: Box<RawValue>,
    /// Whether the body has a config and nothing else.
    is_config_alone: bool,
}

/// Reads the body of a call: a JSON object with a config.
pub(super) fn read(body: &Bytes) -> Result<Call, Vec<ParameterFault>> {
    /// Fails, like `Alone`, if a key occurs twice.
    #[derive(Deserialize)]
    struct Any {
        config: Box<RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Alone {
        #[serde(rename = "config")]
        _config: serde::de::IgnoredAny,
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(fault("body", "must be a JSON object with a config"));
    }
    let Any { config } = serde_json::from_slice(body).map_err(|error| {
        let detail = format!("must be a JSON object with a config: {error}");
        fault("body", detail)
    })?;
    Ok(Call {
        config,
        is_config_alone: serde_json::from_slice::<Alone>(body).is_ok(),
    })
}

impl Call {
    /// The query that the config asks for.
    ///
    /// # Errors
    ///
    /// All reasons why cells cannot answer the config.
    pub(super) fn query(&self, customer: CustomerId) -> Result<Query, Vec<ParameterFault>> {
        if !self.is_config_alone {
            return Err(fault("body", "must have a config and nothing else"));
        }
        if !self.is_of_objects() {
            return Err(fault("config", "must be an object, as must be each facet"));
        }
        let config: ReportConfig = serde_json::from_str(self.config.get())
            .map_err(|error| fault("config", format!("is not known to Pitaya: {error}")))?;
        let mut faults = Vec::new();
        let mut check = |name: &str, expected: &str, holds: bool| {
            if !holds {
                faults.extend(fault(name, format!("must be {expected}")));
            }
        };
        let sites = sites(&config.sites_facet);
        let dates = dates(&config.date_facet);
        let hours = hours(&config.time_facet);
        let bucket = bucket(&config.group_by_facet);
        let metrics = metrics(&config.metrics_facet);
        check(
            "sites_facet.site_ids",
            "a list of at least one site id, each from 1 to 2^53 - 1",
            sites.is_some(),
        );
        check(
            "date_facet",
            "custom, with two dates as YYYY-MM-DD, the earlier one first",
            dates.is_some(),
        );
        check(
            "time_facet",
            "custom, with two times as HH:MM:00 on multiples of 5 minutes, the earlier one first; the end may be 23:59:59",
            hours.is_some(),
        );
        check(
            "group_by_facet.groupBys",
            "time and site",
            is_by_time_and_site(&config.group_by_facet),
        );
        check(
            "group_by_facet.time",
            "5, 10, 15, 20, 30 or 60 minutes, or 1, 2, 3, 4, 6, 8, 12 or 24 hours",
            bucket.is_some(),
        );
        check(
            "metrics_facet.metrics",
            "a list of at least one of entrances, dwell_time, transactions, occupancy and walk_bys",
            metrics.is_some(),
        );
        check("version", "V2", config.version == "V2");
        match (sites, dates, hours, bucket, metrics) {
            (Some(sites), Some(dates), Some(hours), Some(bucket), Some(metrics))
                if faults.is_empty() =>
            {
                Ok(Query {
                    hours,
                    bucket,
                    fill: Fill::None,
                    vendor_means: true,
                    ..Query::new(customer, sites, dates, metrics)
                })
            }
            _ => Err(faults),
        }
    }

    /// The sites that the config selects, if that is certain: an unknown field, in whatever facet, might select others.
    pub(super) fn certain_sites(&self) -> Option<Vec<SiteId>> {
        let config: KnownConfig = serde_json::from_str(self.config.get()).ok()?;
        sites(&config.sites_facet).filter(|_| self.is_config_alone && self.is_of_objects())
    }

    /// Whether the config is an object, and so is each part of it that has fields. Serde would also accept a list of the values, which the
    /// vendor may read differently.
    fn is_of_objects(&self) -> bool {
        const WITH_FIELDS: [&str; 8] = [
            "/sites_facet",
            "/date_facet",
            "/date_facet/custom",
            "/time_facet",
            "/time_facet/custom",
            "/group_by_facet",
            "/group_by_facet/time",
            "/metrics_facet",
        ];
        let config: Option<Value> = serde_json::from_str(self.config.get()).ok();
        config.is_some_and(|config| {
            let mut parts = WITH_FIELDS.iter().filter_map(|part| config.pointer(part));
            config.is_object() && parts.all(Value::is_object)
        })
    }
}

/// One fault of a call.
pub(super) fn fault(parameter: &str, detail: impl Into<String>) -> Vec<ParameterFault> {
    vec![ParameterFault {
        parameter: parameter.to_owned(),
        detail: detail.into(),
    }]
}

fn sites(facet: &SitesFacet) -> Option<Vec<SiteId>> {
    let mut sites: Vec<_> = facet
        .site_ids
        .iter()
        .map(|id| SiteId::new(*id))
        .collect::<Option<_>>()?;
    sites.sort_unstable();
    sites.dedup();
    (!sites.is_empty()).then_some(sites)
}

fn dates(facet: &DateFacet) -> Option<DateRange> {
    let [from, to] = &facet.custom.range;
    let range = DateRange::new(parse_date(from)?, parse_date(to)?)?;
    (facet.date_range == "custom").then_some(range)
}

fn hours(facet: &TimeFacet) -> Option<Hours> {
    let [from, to] = &facet.custom.range;
    let minutes = |time: &str| time.strip_suffix(":00").map(str::to_owned);
    let end = if to == LAST_SECOND {
        "24:00".to_owned()
    } else {
        minutes(to)?
    };
    let start = minutes(from)?;
    // Texts of this form sort like the times.
    let hours = format!("{start}-{end}").parse().ok()?;
    (facet.time_of_day == "custom" && start < end).then_some(hours)
}

fn bucket(facet: &GroupByFacet) -> Option<Bucket> {
    let number = facet.time.number;
    let minutes = match facet.time.unit.as_str() {
        "minutes" => number,
        "hours" => number.checked_mul(60)?,
        _ => return None,
    };
    let text = if minutes.is_multiple_of(60) {
        format!("{}h", minutes / 60)
    } else {
        format!("{minutes}m")
    };
    text.parse().ok()
}

fn is_by_time_and_site(facet: &GroupByFacet) -> bool {
    let mut names: Vec<_> = facet.group_bys.iter().map(String::as_str).collect();
    names.sort_unstable();
    names == ["site", "time"]
}

fn metrics(facet: &MetricsFacet) -> Option<Vec<Metric>> {
    let mut metrics = Vec::new();
    for name in &facet.metrics {
        // The vendor's metrics have the same names here.
        let metric = VendorMetric::from_name(name).and(Metric::from_name(name))?;
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    (!metrics.is_empty()).then_some(metrics)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sample() -> Value {
        json!({"config": {
            "sites_facet": {"site_ids": [750]},
            "date_facet": {"dateRange": "custom", "custom": {"range": ["2026-02-18", "2026-02-19"]}},
            "time_facet": {"timeOfDay": "custom", "custom": {"range": ["09:00:00", "17:00:00"]}},
            "group_by_facet": {"time": {"unit": "minutes", "number": 15}, "groupBys": ["time", "site"]},
            "metrics_facet": {"metrics": ["entrances"]},
            "version": "V2",
        }})
    }

    fn query(body: &Value) -> Result<Query, Vec<String>> {
        let customer = CustomerId::new(123).unwrap();
        let call = read(&body.to_string().into());
        let query = call.and_then(|call| call.query(customer));
        query.map_err(|faults| faults.into_iter().map(|fault| fault.parameter).collect())
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut body = sample();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    }

    const TIME: &str = "/config/group_by_facet/time";
    const RANGE: &str = "/config/time_facet/custom/range";

    #[test]
    fn every_bucket_up_to_a_day_is_known_by_minutes_and_by_hours() {
        for (unit, number, bucket) in [
            ("minutes", 5, "5m"),
            ("minutes", 10, "10m"),
            ("minutes", 15, "15m"),
            ("minutes", 20, "20m"),
            ("minutes", 30, "30m"),
            ("minutes", 60, "hour"),
            ("minutes", 120, "2h"),
            ("minutes", 1440, "day"),
            ("hours", 1, "hour"),
            ("hours", 3, "3h"),
            ("hours", 8, "8h"),
            ("hours", 12, "12h"),
            ("hours", 24, "day"),
        ] {
            let body = with(TIME, json!({"unit": unit, "number": number}));
            assert_eq!(query(&body).unwrap().bucket, bucket.parse().unwrap());
        }
        for (unit, number) in [
            ("minutes", json!(0)),
            ("minutes", json!(7)),
            ("minutes", json!(25)),
            ("minutes", json!(90)),
            ("hours", json!(0)),
            ("hours", json!(5)),
            ("hours", json!(48)),
            ("hours", json!(1093)),
            ("days", json!(1)),
            ("Minutes", json!(15)),
        ] {
            let body = with(TIME, json!({"unit": unit, "number": number}));
            assert_eq!(query(&body).unwrap_err(), ["group_by_facet.time"], "{body}");
        }
        let fraction = with(TIME, json!({"unit": "minutes", "number": 15.5}));
        assert_eq!(query(&fraction).unwrap_err(), ["config"]);
    }

    #[test]
    fn times_are_on_the_grid_and_a_day_ends_at_its_last_second() {
        for (from, to, hours) in [
            ("09:00:00", "17:00:00", "09:00-17:00"),
            ("00:00:00", "23:59:59", "00:00-24:00"),
            ("22:05:00", "23:59:59", "22:05-24:00"),
            ("00:00:00", "24:00:00", "00:00-24:00"),
        ] {
            let body = with(RANGE, json!([from, to]));
            assert_eq!(query(&body).unwrap().hours, hours.parse().unwrap());
        }
        for (from, to) in [
            ("17:00:00", "09:00:00"),
            ("09:00:00", "09:00:00"),
            ("09:01:00", "17:00:00"),
            ("09:00:00", "16:59:59"),
            ("09:00", "17:00"),
            ("9:00:00", "17:00:00"),
            ("23:59:59", "24:00:00"),
            ("", ""),
        ] {
            let body = with(RANGE, json!([from, to]));
            assert_eq!(query(&body).unwrap_err(), ["time_facet"], "{body}");
        }
    }

    #[test]
    fn every_part_that_cells_cannot_answer_is_named() {
        for (pointer, value, name) in [
            (
                "/config/sites_facet/site_ids",
                json!([]),
                "sites_facet.site_ids",
            ),
            (
                "/config/sites_facet/site_ids",
                json!([0]),
                "sites_facet.site_ids",
            ),
            ("/config/sites_facet/site_ids", json!(["750"]), "config"),
            (
                "/config/date_facet/dateRange",
                json!("last_7_days"),
                "date_facet",
            ),
            (
                "/config/date_facet/custom/range",
                json!(["2026-02-19", "2026-02-18"]),
                "date_facet",
            ),
            (
                "/config/date_facet/custom/range",
                json!(["2026-2-18", "2026-02-18"]),
                "date_facet",
            ),
            ("/config/time_facet/timeOfDay", json!("open"), "time_facet"),
            (
                "/config/group_by_facet/groupBys",
                json!(["time"]),
                "group_by_facet.groupBys",
            ),
            (
                "/config/group_by_facet/groupBys",
                json!(["time", "site", "site"]),
                "group_by_facet.groupBys",
            ),
            (
                "/config/group_by_facet/groupBys",
                json!(["time", "region"]),
                "group_by_facet.groupBys",
            ),
            (
                "/config/metrics_facet/metrics",
                json!(["entrances", "visits"]),
                "metrics_facet.metrics",
            ),
            (
                "/config/metrics_facet/metrics",
                json!(["peak_occupancy"]),
                "metrics_facet.metrics",
            ),
            (
                "/config/metrics_facet/metrics",
                json!([]),
                "metrics_facet.metrics",
            ),
            ("/config/version", json!("V1"), "version"),
            ("/config", json!([]), "config"),
        ] {
            let body = with(pointer, value);
            assert_eq!(query(&body).unwrap_err(), [name], "{body}");
        }
        let mut several = with("/config/version", json!("V3"));
        several["config"]["metrics_facet"]["metrics"] = json!([]);
        assert_eq!(
            query(&several).unwrap_err(),
            ["metrics_facet.metrics", "version"]
        );
        let mut more = sample();
        more["config"]["regions_facet"] = json!({});
        assert_eq!(query(&more).unwrap_err(), ["config"]);
        let mut beside = sample();
        beside["page"] = json!(2);
        assert_eq!(query(&beside).unwrap_err(), ["body"]);
        assert_eq!(query(&json!({})).unwrap_err(), ["body"]);
    }

    #[test]
    fn a_list_never_stands_for_an_object() {
        let lists = [
            ("/config", json!([[[750]], null, null, null, null, null])),
            ("/config/sites_facet", json!([[750]])),
            (
                "/config/date_facet",
                json!(["custom", {"range": ["2026-02-18", "2026-02-19"]}]),
            ),
            (
                "/config/date_facet/custom",
                json!([["2026-02-18", "2026-02-19"]]),
            ),
            (
                "/config/time_facet/custom",
                json!([["09:00:00", "17:00:00"]]),
            ),
            ("/config/group_by_facet/time", json!(["minutes", 15])),
            ("/config/metrics_facet", json!([["entrances"]])),
        ];
        for (pointer, list) in lists {
            let body = with(pointer, list);
            assert_eq!(query(&body).unwrap_err(), ["config"], "{body}");
            let call = read(&Bytes::from(body.to_string())).unwrap();
            assert_eq!(call.certain_sites(), None, "{body}");
        }
        let body = json!([sample()["config"]]);
        assert!(read(&Bytes::from(body.to_string())).is_err());
    }

    #[test]
    fn group_bys_have_any_order_and_repeats_do_not_matter() {
        let mut body = with("/config/group_by_facet/groupBys", json!(["site", "time"]));
        body["config"]["metrics_facet"]["metrics"] = json!(["occupancy", "entrances", "occupancy"]);
        body["config"]["sites_facet"]["site_ids"] = json!([751, 750, 751]);

        let query = query(&body).unwrap();

        assert_eq!(query.metrics, [Metric::Occupancy, Metric::Entrances]);
        assert_eq!(query.sites, [750, 751].map(|id| SiteId::new(id).unwrap()));
    }

    #[test]
    fn sites_are_certain_only_if_nothing_else_can_choose_them() {
        let sites = |text: &str| read(&text.to_owned().into()).unwrap().certain_sites();

        let known = r#"{"config":{"sites_facet":{"site_ids":[750]},"version":"V9"}}"#;
        assert_eq!(sites(known), Some(vec![SiteId::new(750).unwrap()]));
        for uncertain in [
            r#"{"config":{}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[]}}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[750],"names":["a"]}}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[750]},"sites_facet":{"site_ids":[751]}}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[750],"site_ids":[751]}}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[750]},"regions_facet":{}}}"#,
            r#"{"config":{"sites_facet":{"site_ids":[750]}},"sites":[751]}"#,
        ] {
            assert_eq!(sites(uncertain), None, "{uncertain}");
        }
        let twice = r#"{"config":{"sites_facet":{"site_ids":[750]}},"config":{}}"#;
        assert!(read(&twice.to_owned().into()).is_err());
    }
}
