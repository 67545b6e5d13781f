//! A long answer of the vendor, and the least possible cost of reading it.

use std::fmt::Write;

use jiff::civil::Date;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::ReportRequest;
use pitaya::domain::dates::DateRange;
use pitaya::domain::metric::{MetricSet, VendorMetric};
use pitaya::domain::site::{CustomerId, SiteId};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

const FIRST_SITE: u64 = 750;

/// A report of `sites` sites from `from` to `to`, in quarter hours.
pub(crate) fn request(sites: u64, from: Date, to: Date) -> ReportRequest {
    ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: (FIRST_SITE..FIRST_SITE + sites)
            .filter_map(SiteId::new)
            .collect(),
        dates: DateRange::new(from, to).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::from_minutes(15).unwrap(),
    }
}

/// The answer to `request`, in the format of the vendor's example: every bucket of every site, by time and then by site.
pub(crate) fn answer(request: &ReportRequest) -> String {
    let mut text = String::from(
        r#"{"success":true,"data":{"Config":{},"InsightResponse":{"cached_data_ratio":1,"computed_at":1771513404.8,"data":["#,
    );
    let mut count = 0_u32;
    for date in request.dates.iter() {
        for slot in 0..request.bucket.slots_per_day() {
            let minute = slot * request.bucket.minutes();
            for site in &request.sites {
                count = count.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let comma = if text.ends_with('[') { "" } else { "," };
                write!(
                    text,
                    r#"{comma}{{"entity_id":"{entity}","entrances":{entrances},"filter_id":"450e633b0b76a889eb487f6dfc{site:06}","region_names":["Site {site}"],"site_name":"Site {site}","time":"{date} {hour:02}:{minute:02}:00"}}"#,
                    entity = 36_000 + site.get(),
                    entrances = (count >> 24) % 90,
                    site = site.get(),
                    hour = minute / 60,
                    minute = minute % 60,
                )
                .unwrap();
            }
        }
    }
    text.push_str(r#"],"is_data_truncated":false,"metadata":{},"site_mapping":{"#);
    for site in &request.sites {
        let comma = if text.ends_with('{') { "" } else { "," };
        write!(text, r#"{comma}"{site}":"Site {site}""#, site = site.get()).unwrap();
    }
    text.push_str(r#"},"status":"success","total_count":{}}}}"#);
    text
}

/// Parses every row's time, entity and figure, borrowed from one text that is validated once, and returns the sum of figures.
pub(crate) fn pure(body: &[u8]) -> u64 {
    let text = simdutf8::basic::from_utf8(body).unwrap();
    let answer: Answer<'_> = serde_json::from_str(text).unwrap();
    answer.data.insight_response.data.0
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "InsightResponse")]
    insight_response: Insight<'a>,
}

#[derive(Deserialize)]
struct Insight<'a> {
    #[serde(borrow)]
    data: Rows<'a>,
}

#[derive(Deserialize)]
struct Row<'a> {
    time: &'a str,
    entity_id: &'a str,
    entrances: u64,
}

struct Rows<'a>(u64, std::marker::PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for Rows<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sum;
        impl<'de> Visitor<'de> for Sum {
            type Value = u64;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<u64, A::Error> {
                let mut sum = 0;
                while let Some(row) = rows.next_element::<Row<'de>>()? {
                    std::hint::black_box((row.time, row.entity_id));
                    sum += row.entrances;
                }
                Ok(sum)
            }
        }
        deserializer
            .deserialize_seq(Sum)
            .map(|sum| Self(sum, std::marker::PhantomData))
    }
}
