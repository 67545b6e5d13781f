//! The body of a report call, as on the vendor's page ("Traffic Analysis Metrics API"): the client writes it, the simulator reads it.

use serde::{Deserialize, Serialize};

/// The body of a report call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    pub(crate) config: ReportConfig,
}

/// Parameters of a report, with fields in the order of the vendor's example.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportConfig {
    pub(crate) sites_facet: SitesFacet,
    pub(crate) date_facet: DateFacet,
    pub(crate) time_facet: TimeFacet,
    pub(crate) group_by_facet: GroupByFacet,
    pub(crate) metrics_facet: MetricsFacet,
    /// `V2`.
    pub(crate) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SitesFacet {
    pub(crate) site_ids: Vec<u64>,
}

/// Dates as `YYYY-MM-DD`, both included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DateFacet {
    /// `custom`.
    pub(crate) date_range: String,
    pub(crate) custom: Custom,
}

/// Times of day as `HH:MM:SS`, the end excluded; a whole day is `00:00:00` to `23:59:59`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TimeFacet {
    /// `custom`.
    pub(crate) time_of_day: String,
    pub(crate) custom: Custom,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Custom {
    pub(crate) range: [String; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GroupByFacet {
    pub(crate) time: Granularity,
    /// `time` and `site`.
    pub(crate) group_bys: Vec<String>,
}

/// Length of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Granularity {
    /// `minutes` or `hours`.
    pub(crate) unit: String,
    pub(crate) number: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsFacet {
    pub(crate) metrics: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_own_example_round_trips_unchanged() {
        let example = r#"{"config":{"sites_facet":{"site_ids":[750]},"date_facet":{"dateRange":"custom","custom":{"range":["2026-02-18","2026-02-19"]}},"time_facet":{"timeOfDay":"custom","custom":{"range":["09:00:00","17:00:00"]}},"group_by_facet":{"time":{"unit":"minutes","number":15},"groupBys":["time","site"]},"metrics_facet":{"metrics":["entrances"]},"version":"V2"}}"#;

        let body: Body = serde_json::from_str(example).unwrap();

        assert_eq!(serde_json::to_string(&body).unwrap(), example);
    }
}
