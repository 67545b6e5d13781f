//! Tests of the parser with whole answers.

mod pieces;

use std::fmt::Write;

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::ReportRequest;
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::metric::{MetricSet, VendorMetric};
use crate::domain::site::{CustomerId, SiteId};
use crate::upstream::merge::SiteFigures;

/// The vendor's own example, cut to the rows that its page shows.
const EXAMPLE: &str = r#"{"data":{"Config":{},"InsightResponse":{"cached_data_ratio":1,"computed_at":1771513404.8116665,"data":[
{"entity_id":"36655","entrances":19,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-18 09:00:00"},
{"entity_id":"36655","entrances":23,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-18 09:15:00"},
{"entity_id":"36655","entrances":15,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-18 09:30:00"},
{"entity_id":"36655","entrances":20,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-18 09:45:00"},
{"entity_id":"36655","entrances":17,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-19 16:30:00"},
{"entity_id":"36655","entrances":29,"filter_id":"450e633b0b76a889eb487f6dfcd575cc","region_names":["Tyler"],"site_name":"Tyler","time":"2026-02-19 16:45:00"}
],"is_data_truncated":false,"metadata":{},"site_mapping":{},"status":"success","total_count":{}}},"success":true}"#;

fn layout_of(metrics: &[VendorMetric], zone: Option<&str>, dates: DateRange) -> Arc<ReportShape> {
    let zone = zone.map(|name| TimeZone::get(name).unwrap());
    Arc::new(ReportShape::new(
        &ReportRequest {
            customer: CustomerId::new(1).unwrap(),
            sites: vec![SiteId::new(750).unwrap()],
            dates,
            metrics: metrics.iter().copied().collect::<MetricSet>(),
            bucket: VendorBucket::from_minutes(15).unwrap(),
        },
        &SiteDirectory::new(zone),
    ))
}

fn shape(metrics: &[VendorMetric]) -> Arc<ReportShape> {
    let dates = DateRange::new(date(2026, 2, 18), date(2026, 2, 19)).unwrap();
    layout_of(metrics, None, dates)
}

fn answer(rows: &str) -> String {
    format!(
        r#"{{"success":true,"data":{{"InsightResponse":{{"data":[{rows}],"status":"success"}}}}}}"#
    )
}

fn figure(answer: &Answer, shape: &ReportShape, metric: VendorMetric, slot: usize) -> Option<f64> {
    let identities: Vec<_> = answer.identities.iter().collect();
    let figures = SiteFigures::of(shape, SiteId::new(750).unwrap(), &identities);
    let figure = figures.day(0)?[slot][metric as usize];
    (!figure.is_nan()).then_some(figure)
}

#[test]
fn the_vendors_own_example_is_readable() {
    let shape = shape(&[VendorMetric::Entrances]);

    let answer = parse(EXAMPLE.as_bytes(), &shape).unwrap();

    assert_eq!(answer.identities.len(), 1);
    assert_eq!(answer.identities[0].entity.as_deref(), Some("36655"));
    assert_eq!(answer.identities[0].name.as_deref(), Some("Tyler"));
    assert_eq!(answer.computed_at, Some(1_771_513_404.811_666_5));
    let at = |slot| figure(&answer, &shape, VendorMetric::Entrances, slot);
    assert_eq!(
        [at(35), at(36), at(37), at(38), at(39), at(40)],
        [None, Some(19.0), Some(23.0), Some(15.0), Some(20.0), None]
    );
}

#[test]
fn an_answer_without_success_at_every_level_is_refused() {
    let shape = shape(&[VendorMetric::Entrances]);
    let refused = |body: &str| matches!(parse(body.as_bytes(), &shape), Err(Fault::Malformed(_)));

    for body in [
        EXAMPLE.replace(r#""success":true"#, r#""success":false"#),
        EXAMPLE.replace(r#","success":true"#, ""),
        EXAMPLE.replace(r#""success":true"#, r#""success":1"#),
        EXAMPLE.replace(r#""status":"success""#, r#""status":"error""#),
        EXAMPLE.replace(r#""status":"success","#, ""),
        EXAMPLE.replace(r#""Config":{}"#, r#""success":false"#),
        EXAMPLE.replace(r#""InsightResponse""#, r#""Insight""#),
        EXAMPLE.replace(
            r#""is_data_truncated":false"#,
            r#""is_data_truncated":"no""#,
        ),
    ] {
        assert!(refused(&body), "{body}");
    }
    assert!(parse(br#"{"success":true,"data":null}"#, &shape).is_err());
    assert!(parse(b"<html>down for maintenance</html>", &shape).is_err());
    assert!(parse(b"\xff\xfe", &shape).is_err());
    assert!(parse(format!("{EXAMPLE} {{}}").as_bytes(), &shape).is_err());
}

#[test]
fn truncation_is_found_wherever_it_is_reported() {
    let shape = shape(&[VendorMetric::Entrances]);
    let late = EXAMPLE.replace(
        r#""is_data_truncated":false"#,
        r#""is_data_truncated":true"#,
    );

    assert_eq!(
        parse(late.as_bytes(), &shape).unwrap_err(),
        Fault::Truncated
    );
}

#[test]
fn a_cut_body_differs_from_a_malformed_one() {
    let shape = shape(&[VendorMetric::Entrances]);

    for end in 0..EXAMPLE.len() {
        let fault = parse(&EXAMPLE.as_bytes()[..end], &shape).unwrap_err();

        assert_eq!(fault, Fault::Cut, "cut after {end} bytes");
    }
}

#[test]
fn one_bad_row_refuses_the_whole_answer() {
    let shape = shape(&[VendorMetric::Entrances]);

    for bad in [
        r#"{"time":"2026-02-18 09:07:00","entrances":1}"#,
        r#"{"time":"2026-02-18 09:00:30","entrances":1}"#,
        r#"{"time":"2026-02-30 09:00:00","entrances":1}"#,
        r#"{"time":"yesterday","entrances":1}"#,
        r#"{"time":null,"entrances":1}"#,
        r#"{"entrances":1}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":-1}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":"7"}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":1e999}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":NaN}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":true}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":[1]}"#,
        r#"{"time":"2030-01-01 09:00:00","entrances":-1}"#,
        r#"{"time":"2026-02-18 09:00:00","entrances":1,"entrances":2}"#,
        "7",
    ] {
        let body = answer(&format!(
            r#"{{"time":"2026-02-18 08:00:00","entrances":1}},{bad}"#
        ));

        let fault = parse(body.as_bytes(), &shape).unwrap_err();

        assert!(
            !matches!(fault, Fault::Cut | Fault::Truncated | Fault::TooLarge),
            "{bad}"
        );
        assert!(
            !fault.to_string().contains("yesterday"),
            "no text of the body: {fault}"
        );
    }
}

#[test]
fn null_means_no_rows_and_a_byte_order_mark_is_skipped() {
    let shape = shape(&[VendorMetric::Entrances]);
    let null = answer("").replace("[]", "null");

    assert!(
        parse(null.as_bytes(), &shape)
            .unwrap()
            .identities
            .is_empty()
    );
    let marked = parse(format!("\u{feff}{EXAMPLE}").as_bytes(), &shape).unwrap();
    assert_eq!(marked.identities.len(), 1);
    for wrong in [
        format!("\u{feff}\u{feff}{EXAMPLE}"),
        format!(" \u{feff}{EXAMPLE}"),
        null.replace("null", "nul"),
        null.replace("null", "null,null"),
        null.replace(r#""data":null"#, r#""data":null,"data":[]"#),
    ] {
        assert!(parse(wrong.as_bytes(), &shape).is_err(), "{wrong}");
    }
}

#[test]
fn an_unreadable_name_counts_as_none() {
    let shape = shape(&[VendorMetric::Entrances]);
    let body = answer(
        r#"{"entity_id":"a","site_name":"T\ud800","time":"2026-02-18 09:00:00","entrances":7},
           {"entity_id":"b","site_name":"T\u00fcler","time":"2026-02-18 09:00:00","entrances":8}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    let names = answer
        .identities
        .iter()
        .map(|identity| identity.name.as_deref());
    assert_eq!(names.collect::<Vec<_>>(), [None, Some("Tüler")]);
}

#[test]
fn an_unknown_field_is_skipped_whatever_its_name() {
    let shape = shape(&[VendorMetric::Entrances]);
    let field = r#""\ud800":{"\udfff":["\ud83d"]},"#;
    let row = format!(r#"{{{field}"time":"2026-02-18 00:00:00","entrances":7}}"#);
    let body = answer(&row)
        .replace(r#"{"success""#, &format!(r#"{{{field}"success""#))
        .replace(r#""status""#, &format!(r#"{field}"status""#));
    let with_more = body.replace(
        r#""status""#,
        &format!(r#""metadata":{{{field}"has_more":true}},"status""#),
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    assert_eq!(body.matches(field).count(), 3);
    let entrances = figure(&answer, &shape, VendorMetric::Entrances, 0);
    assert_eq!(entrances, Some(7.0));
    assert_eq!(
        parse(with_more.as_bytes(), &shape).unwrap_err(),
        Fault::Truncated
    );
}

#[test]
fn names_are_cut_between_characters_and_entities_are_not() {
    let shape = shape(&[VendorMetric::Entrances]);
    let row = |entity: &str, name: &str| {
        let row = format!(
            r#"{{"entity_id":"{entity}","site_name":"{name}","time":"2026-02-18 09:00:00","entrances":7}}"#
        );
        parse(answer(&row).as_bytes(), &shape)
    };
    let long = "x".repeat(255);

    for (name, held) in [
        (format!("{long}y"), format!("{long}y")),
        (format!("{long}ü"), long.clone()),
        (format!(r"{long}\u00fc"), long.clone()),
        ("ü".repeat(500), "ü".repeat(128)),
    ] {
        let answer = row("e", &name).unwrap();

        assert_eq!(answer.identities[0].name.as_deref(), Some(&*held));
    }
    assert!(row(&"e".repeat(256), "").is_ok());
    assert!(matches!(
        row(&"e".repeat(257), ""),
        Err(Fault::Malformed(_))
    ));
}

#[test]
fn an_answer_that_reports_more_rows_is_truncated() {
    let shape = shape(&[VendorMetric::Entrances]);
    let with = |at: &str, field: &str| {
        let body = EXAMPLE.replacen(at, &format!("{at}{field},"), 1);
        assert_ne!(body, EXAMPLE);
        parse(body.as_bytes(), &shape).map(|_| ())
    };

    for at in [
        "{",
        r#"{"data":{"#,
        r#""InsightResponse":{"#,
        r#""is_data_truncated":false,"#,
    ] {
        for more in [r#""next":"x""#, r#""has_more":true"#, r#""total_count":7"#] {
            assert_eq!(with(at, more), Err(Fault::Truncated), "{at}{more}");
        }
        for whole in [
            r#""next":null"#,
            r#""has_more":false"#,
            r#""total_count":6"#,
        ] {
            assert_eq!(with(at, whole), Ok(()), "{at}{whole}");
        }
    }
    let rows = r#"{"time":"2026-02-18 09:00:00"},{"time":"2026-03-18 09:00:00"},{"time":"2026-02-18 09:00:00"}"#;
    let counted = answer(rows).replace(r#""status""#, r#""total_count":3,"status""#);
    assert!(
        parse(counted.as_bytes(), &shape).is_ok(),
        "every row counts"
    );
}

#[test]
fn a_figure_too_large_for_readers_of_json_refuses_the_answer() {
    let shape = shape(&[VendorMetric::Entrances]);
    let with = |figure: &str| {
        let row =
            format!(r#"{{"entrances":{figure},"time":"2026-02-18 09:00:00","site_name":"T"}}"#);
        parse(answer(&row).as_bytes(), &shape).map(|_| ())
    };

    assert_eq!(with("9007199254740991"), Ok(()));
    for large in [
        "9007199254740992",
        "1e300",
        &format!("1{}", "0".repeat(308)),
    ] {
        assert_eq!(with(large), Err(Fault::FigureTooLarge), "{large}");
    }
}

#[test]
fn rows_outside_the_dates_are_counted_and_not_used() {
    let shape = shape(&[VendorMetric::Entrances]);
    let body = answer(
        r#"{"time":"2026-02-17 23:45:00","entrances":1},{"time":"2026-02-20 00:00:00","entrances":1}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    assert_eq!(answer.outside, 2);
    assert!(answer.identities.is_empty());
}

#[test]
fn odd_fields_do_not_matter() {
    let shape = shape(&[VendorMetric::Entrances]);
    let body = answer(
        r#"{"x":{"y":[1,{"z":null}]},"walk_bys":"many","entity_id":36655,"filter_id":7,"region_names":null,"site_name":"T\u0079ler","time":"2026-02-18T00:00:00","entrances":2.0},
           {"entity_id":36655.0,"filter_id":7,"region_names":null,"site_name":"Tyler","time":"2026-02-18 00:15:00","entrances":null},
           {"entity_id":"36655","filter_id":7,"region_names":null,"site_name":"Tyler","time":"2026-02-18 00:30:00"}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    assert_eq!(answer.identities.len(), 1);
    let at = |slot| figure(&answer, &shape, VendorMetric::Entrances, slot);
    assert_eq!([at(0), at(1), at(2)], [Some(2.0), None, None]);
}

#[test]
fn parts_combine_like_their_metric_and_a_repeated_row_counts_once() {
    let shape = shape(&[VendorMetric::Entrances, VendorMetric::DwellTime]);
    let body = answer(
        r#"{"time":"2026-02-18 00:00:00","filter_id":"a","region_names":["n"],"entrances":1,"dwell_time":10},
           {"time":"2026-02-18 00:00:00","filter_id":"a","region_names":["s"],"entrances":3,"dwell_time":20},
           {"time":"2026-02-18 00:00:00","filter_id":"b","region_names":["s"],"entrances":0,"dwell_time":99},
           {"time":"2026-02-18 00:00:00","filter_id":"a","region_names":["n"],"entrances":1,"dwell_time":10},
           {"time":"2026-02-18 00:15:00","filter_id":"a","region_names":["n"],"dwell_time":7},
           {"time":"2026-02-18 00:30:00","filter_id":"a","region_names":["n"],"dwell_time":7},
           {"time":"2026-02-18 00:30:00","filter_id":"b","region_names":["n"],"dwell_time":9},
           {"time":"2026-02-18 00:45:00","filter_id":"a","region_names":["n"],"dwell_time":9},
           {"time":"2026-02-18 00:45:00","filter_id":"b","region_names":["n"],"dwell_time":9}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    let at = |metric, slot| figure(&answer, &shape, metric, slot);
    assert_eq!(at(VendorMetric::Entrances, 0), Some(4.0));
    assert_eq!(at(VendorMetric::DwellTime, 0), Some(17.5));
    assert_eq!(
        at(VendorMetric::DwellTime, 1),
        Some(7.0),
        "the only part is kept as it is"
    );
    assert_eq!(
        at(VendorMetric::DwellTime, 2),
        None,
        "parts that differ, without a weight"
    );
    assert_eq!(at(VendorMetric::DwellTime, 3), Some(9.0));
}

#[test]
fn two_equal_rows_in_the_repeated_hour_are_two_hours_if_the_zone_is_known() {
    let autumn = DateRange::day(date(2026, 11, 1)).unwrap();
    let row = |hour: &str, count: u32| {
        format!(r#"{{"time":"2026-11-01 {hour}","entity_id":"e","entrances":{count}}}"#)
    };
    let body = answer(
        &[
            row("00:45:00", 1),
            row("00:45:00", 2),
            row("01:00:00", 3),
            row("01:00:00", 4),
            row("01:00:00", 5),
            row("01:45:00", 6),
            row("02:00:00", 7),
        ]
        .join(","),
    );

    let known = layout_of(&[VendorMetric::Entrances], Some("America/Chicago"), autumn);
    let unknown = layout_of(&[VendorMetric::Entrances], None, autumn);
    let in_chicago = parse(body.as_bytes(), &known).unwrap();
    let anywhere = parse(body.as_bytes(), &unknown).unwrap();

    let at = |slot| figure(&in_chicago, &known, VendorMetric::Entrances, slot);
    assert_eq!(
        [at(3), at(4), at(96), at(7), at(99), at(8)],
        [Some(2.0), Some(3.0), Some(4.0), Some(6.0), None, Some(7.0)]
    );
    assert_eq!(
        figure(&anywhere, &unknown, VendorMetric::Entrances, 4),
        Some(5.0)
    );
}

#[test]
fn a_hostile_answer_is_refused_rather_than_kept() {
    let shape = shape(&[VendorMetric::Entrances]);
    let mut rows = String::new();
    for entity in 0..60_000 {
        let comma = if entity > 0 { "," } else { "" };
        write!(
            rows,
            r#"{comma}{{"entity_id":{entity},"time":"2026-02-18 00:00:00","entrances":1}}"#
        )
        .unwrap();
    }

    let fault = parse(answer(&rows).as_bytes(), &shape).unwrap_err();

    assert_eq!(fault, Fault::TooLarge);
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &shape(&[VendorMetric::Entrances]));
    }

    #[test]
    fn no_damage_causes_a_panic(at in 0..EXAMPLE.len(), byte in any::<u8>()) {
        let mut body = EXAMPLE.as_bytes().to_vec();
        body[at] = byte;

        let _ = parse(&body, &shape(&[VendorMetric::Entrances]));
    }

    #[test]
    fn the_order_of_rows_does_not_matter(counts in prop::collection::vec((0..96_usize, 0..4_u8, 0..100_u32), 0..60), seed in any::<u64>()) {
        let shape = shape(&[VendorMetric::Entrances]);
        let mut seen = std::collections::BTreeMap::new();
        for (slot, part, count) in counts {
            seen.entry((slot, part)).or_insert(count);
        }
        let mut rows: Vec<_> = seen
            .iter()
            .map(|((slot, part), count)| {
                let (hour, minute) = (slot / 4, slot % 4 * 15);
                format!(r#"{{"time":"2026-02-18 {hour:02}:{minute:02}:00","filter_id":{part},"entrances":{count}}}"#)
            })
            .collect();
        let steps = rows.len().max(1);
        rows.rotate_left(usize::try_from(seed % steps as u64).unwrap());

        let answer = parse(answer(&rows.join(",")).as_bytes(), &shape).unwrap();

        for slot in 0..96 {
            let parts: Vec<_> = seen.iter().filter(|((at, _), _)| *at == slot).map(|(_, count)| f64::from(*count)).collect();
            let expected = (!parts.is_empty()).then(|| parts.iter().sum::<f64>());
            prop_assert_eq!(figure(&answer, &shape, VendorMetric::Entrances, slot), expected);
        }
    }
}

#[test]
fn a_row_may_arrive_in_pieces() {
    let shape = shape(&[
        VendorMetric::Entrances,
        VendorMetric::DwellTime,
        VendorMetric::WalkBys,
    ]);
    let body = answer(
        r#"{"entity_id":"1","time":"2026-02-18 00:00:00","entrances":7},
           {"entity_id":"1","time":"2026-02-18 00:15:00","entrances":null,"walk_bys":1},
           {"entity_id":"1","time":"2026-02-18 00:00:00","walk_bys":8,"entrances":7},
           {"entity_id":"1","time":"2026-02-18 00:15:00","entrances":9},
           {"entity_id":"1","time":"2026-02-18 00:00:00","walk_bys":8,"entrances":7},
           {"entity_id":"1","time":"2026-02-18 00:00:00","dwell_time":60},
           {"entity_id":"1","time":"2026-02-18 00:30:00","dwell_time":60},
           {"entity_id":"1","time":"2026-02-18 00:30:00","entrances":2}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    let at = |metric, slot| figure(&answer, &shape, metric, slot);
    assert_eq!(
        [0, 1].map(|slot| at(VendorMetric::Entrances, slot)),
        [Some(7.0), Some(9.0)]
    );
    assert_eq!(
        [0, 1].map(|slot| at(VendorMetric::WalkBys, slot)),
        [Some(8.0), Some(1.0)]
    );
    assert_eq!(
        [0, 2].map(|slot| at(VendorMetric::DwellTime, slot)),
        [Some(60.0), Some(60.0)]
    );
}

#[test]
fn a_part_gives_its_weight_to_no_other() {
    let shape = shape(&[VendorMetric::Entrances, VendorMetric::DwellTime]);
    let body = answer(
        r#"{"filter_id":"a","time":"2026-02-18 00:00:00","entrances":5},
           {"filter_id":"b","time":"2026-02-18 00:00:00","entrances":0,"dwell_time":51},
           {"filter_id":"a","time":"2026-02-18 00:15:00","entrances":5},
           {"filter_id":"b","time":"2026-02-18 00:15:00","dwell_time":51},
           {"filter_id":"a","time":"2026-02-18 00:30:00","entrances":1,"dwell_time":51},
           {"filter_id":"b","time":"2026-02-18 00:30:00","dwell_time":70}"#,
    );

    let answer = parse(body.as_bytes(), &shape).unwrap();

    let at = |slot| figure(&answer, &shape, VendorMetric::DwellTime, slot);
    assert_eq!([at(0), at(1), at(2)], [None, None, Some(51.0)]);
}
