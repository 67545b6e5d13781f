//! The fields of a config that Pitaya knows, with whatever values: any other field is an error, as is an object within a value, or a field
//! that occurs twice.

#![expect(dead_code, reason = "only the names and the form of fields matter")]

use serde::Deserialize;

use crate::vendor::SitesFacet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownConfig {
    pub(super) sites_facet: SitesFacet,
    date_facet: Option<Dates>,
    time_facet: Option<Times>,
    group_by_facet: Option<GroupBy>,
    metrics_facet: Option<Metrics>,
    version: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Dates {
    date_range: Option<Plain>,
    custom: Option<Custom>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Times {
    time_of_day: Option<Plain>,
    custom: Option<Custom>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    range: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GroupBy {
    time: Option<Granularity>,
    group_bys: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Granularity {
    unit: Option<Plain>,
    number: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    metrics: Option<Plain>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Plain {
    One(Scalar),
    Many(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Number(f64),
    Text(String),
}
