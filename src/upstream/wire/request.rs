//! The report's request, exactly as the vendor's page gives it.

use serde::Serialize;

use crate::domain::cell::ReportRequest;
use crate::domain::metric::VendorMetric;

#[derive(Serialize)]
struct Body {
    config: Config,
}

#[derive(Serialize)]
struct Config {
    sites_facet: SitesFacet,
    date_facet: DateFacet,
    time_facet: TimeFacet,
    group_by_facet: GroupByFacet,
    metrics_facet: MetricsFacet,
    version: &'static str,
}

#[derive(Serialize)]
struct SitesFacet {
    site_ids: Vec<u64>,
}

#[derive(Serialize)]
struct DateFacet {
    #[serde(rename = "dateRange")]
    date_range: &'static str,
    custom: Custom<String>,
}

#[derive(Serialize)]
struct TimeFacet {
    #[serde(rename = "timeOfDay")]
    time_of_day: &'static str,
    custom: Custom<&'static str>,
}

#[derive(Serialize)]
struct Custom<T> {
    range: [T; 2],
}

#[derive(Serialize)]
struct GroupByFacet {
    time: Granularity,
    #[serde(rename = "groupBys")]
    group_bys: [&'static str; 2],
}

#[derive(Serialize)]
struct Granularity {
    unit: &'static str,
    number: u16,
}

#[derive(Serialize)]
struct MetricsFacet {
    metrics: Vec<&'static str>,
}

/// The JSON body that asks for `request`: always whole days, so that every window of hours is served from the same cells.
pub(in crate::upstream) fn body(request: &ReportRequest) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        config: Config {
            sites_facet: SitesFacet {
                site_ids: request.sites.iter().map(|site| site.get()).collect(),
            },
            date_facet: DateFacet {
                date_range: "custom",
                custom: Custom {
                    range: [
                        request.dates.from().to_string(),
                        request.dates.to().to_string(),
                    ],
                },
            },
            time_facet: TimeFacet {
                time_of_day: "custom",
                custom: Custom {
                    range: ["00:00:00", "23:59:59"],
                },
            },
            group_by_facet: GroupByFacet {
                time: Granularity {
                    unit: "minutes",
                    number: request.bucket.minutes(),
                },
                group_bys: ["time", "site"],
            },
            metrics_facet: MetricsFacet {
                metrics: request.metrics.iter().map(VendorMetric::name).collect(),
            },
            version: "V2",
        },
    })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::bucket::VendorBucket;
    use crate::domain::dates::DateRange;
    use crate::domain::metric::MetricSet;
    use crate::domain::site::{CustomerId, SiteId};

    #[test]
    fn the_body_is_the_vendors_own_example() {
        let request = ReportRequest {
            customer: CustomerId::new(1).unwrap(),
            sites: vec![SiteId::new(750).unwrap()],
            dates: DateRange::new(date(2026, 2, 18), date(2026, 2, 19)).unwrap(),
            metrics: MetricSet::default().with(VendorMetric::Entrances),
            bucket: VendorBucket::from_minutes(15).unwrap(),
        };

        let body = String::from_utf8(body(&request).unwrap()).unwrap();

        assert_eq!(
            body,
            r#"{"config":{"sites_facet":{"site_ids":[750]},"date_facet":{"dateRange":"custom","custom":{"range":["2026-02-18","2026-02-19"]}},"time_facet":{"timeOfDay":"custom","custom":{"range":["00:00:00","23:59:59"]}},"group_by_facet":{"time":{"unit":"minutes","number":15},"groupBys":["time","site"]},"metrics_facet":{"metrics":["entrances"]},"version":"V2"}}"#
        );
    }
}
