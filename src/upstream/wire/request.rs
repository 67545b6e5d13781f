//! Our request for a report, in the vendor's form.

use crate::domain::cell::ReportRequest;
use crate::domain::metric::VendorMetric;
use crate::vendor::{
    Body, Custom, DateFacet, Granularity, GroupByFacet, MetricsFacet, ReportConfig, SitesFacet,
    TimeFacet,
};

/// Writes the JSON body that requests `request`: always whole days, so the same cells serve every window of hours.
pub(in crate::upstream) fn body(request: &ReportRequest) -> Vec<u8> {
    let custom = || "custom".to_owned();
    let (from, to) = (request.dates.from(), request.dates.to());
    let names = request.metrics.iter().map(VendorMetric::name);
    serde_json::to_vec(&Body {
        config: ReportConfig {
            sites_facet: SitesFacet {
                site_ids: request.sites.iter().map(|site| site.get()).collect(),
            },
            date_facet: DateFacet {
                date_range: custom(),
                custom: Custom {
                    range: [from.to_string(), to.to_string()],
                },
            },
            time_facet: TimeFacet {
                time_of_day: custom(),
                custom: Custom {
                    range: ["00:00:00", "23:59:59"].map(str::to_owned),
                },
            },
            group_by_facet: GroupByFacet {
                time: Granularity {
                    unit: "minutes".to_owned(),
                    number: request.bucket.minutes(),
                },
                group_bys: ["time", "site"].map(str::to_owned).to_vec(),
            },
            metrics_facet: MetricsFacet {
                metrics: names.map(str::to_owned).collect(),
            },
            version: "V2".to_owned(),
        },
    })
    .expect("texts and numbers can be written")
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
    fn a_report_request_is_for_whole_days() {
        let request = ReportRequest {
            customer: CustomerId::new(1).unwrap(),
            sites: vec![SiteId::new(750).unwrap()],
            dates: DateRange::new(date(2026, 2, 18), date(2026, 2, 19)).unwrap(),
            metrics: MetricSet::default().with(VendorMetric::Entrances),
            bucket: VendorBucket::from_minutes(15).unwrap(),
        };

        let body = String::from_utf8(body(&request)).unwrap();

        assert_eq!(
            body,
            r#"{"config":{"sites_facet":{"site_ids":[750]},"date_facet":{"dateRange":"custom","custom":{"range":["2026-02-18","2026-02-19"]}},"time_facet":{"timeOfDay":"custom","custom":{"range":["00:00:00","23:59:59"]}},"group_by_facet":{"time":{"unit":"minutes","number":15},"groupBys":["time","site"]},"metrics_facet":{"metrics":["entrances"]},"version":"V2"}}"#
        );
    }
}
