//! The pieces in which an answer arrives do not change its result.

use std::fs;
use std::path::Path;

use serde::de::IgnoredAny;

use super::*;

/// Reads a body in pieces of the given `lengths`, over and over.
fn in_pieces(
    body: &[u8],
    lengths: impl IntoIterator<Item = usize, IntoIter: Clone>,
    shape: &Arc<ReportShape>,
) -> Result<Answer, Fault> {
    let mut lengths = lengths.into_iter().cycle();
    let (mut reader, mut rest) = (Reader::new(Arc::clone(shape)), body);
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
        reader.push(piece)?;
        rest = later;
    }
    reader.finish()
}

/// Shows everything in a result, so that two can be compared although absent figures are equal to nothing.
fn shown(result: &Result<Answer, Fault>) -> String {
    format!("{result:?}")
}

/// The fuzzer's corpus.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answer");
    let mut bodies: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect();
    bodies.push(EXAMPLE.as_bytes().to_vec());
    bodies
}

#[test]
fn every_known_answer_is_the_same_in_any_pieces_wherever_it_is_cut() {
    let dates = DateRange::new(date(2026, 10, 31), date(2026, 11, 1)).unwrap();
    let shape = layout_of(&VendorMetric::ALL, Some("America/Chicago"), dates);
    for body in corpus() {
        let body = body.trim_ascii_end();
        let trusted = parse(body, &shape).is_ok();
        for end in 0..=body.len() {
            let whole = parse(&body[..end], &shape);

            // The property tests try other lengths.
            let pieces = in_pieces(&body[..end], [1 + end % 3], &shape);

            assert_eq!(shown(&pieces), shown(&whole), "up to {end}");
            if trusted && end < body.len() {
                assert_eq!(whole.unwrap_err(), Fault::Cut, "up to {end}");
            }
        }
    }
}

#[test]
fn a_long_row_is_read_and_an_endless_one_is_refused() {
    let shape = shape(&[VendorMetric::Entrances]);
    let row = |len: usize| {
        let filler = "x".repeat(len);
        let body = answer(&format!(
            r#"{{"time":"2026-02-18 08:00:00","x":"{filler}"}}"#
        ));
        in_pieces(body.as_bytes(), [16 * 1024], &shape)
    };

    assert!(row(2_000_000).is_ok());
    let fault = row(8_500_000).unwrap_err();
    assert_eq!(fault.to_string(), "a row is longer than 8388608 bytes");
}

#[test]
fn a_long_mapping_is_read_and_an_endless_one_is_refused() {
    let shape = shape(&[VendorMetric::Entrances]);
    let mapping = |len: usize| {
        let mapping = format!(r#""site_mapping":{{"{}":750}}"#, "x".repeat(len));
        let body = EXAMPLE.replace(r#""site_mapping":{}"#, &mapping);
        in_pieces(body.as_bytes(), [1 << 20], &shape)
    };

    assert!(mapping(1 << 20).is_ok());
    let fault = mapping(16 << 20).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "a value beside the rows is longer than 16777216 bytes"
    );
}

/// JSON values with blanks and escapes of every kind.
fn value() -> impl Strategy<Value = String> {
    let one = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "-0",
        "17",
        "-1",
        "1.5e3",
        "-1e-400",
        "1e999",
        r#""""#,
        r#""Tyler""#,
        r#""T\u00fcler""#,
        r#""T\"}]{[\\""#,
        r#""]},""#,
        r#""Tüler 😀""#,
        r#""\ud83d\ude00""#,
        r#""\ud83d""#,
        r#""success""#,
        r#""750""#,
        "nan",
    ]);
    one.prop_map(ToOwned::to_owned)
        .prop_recursive(3, 12, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                list.prop_map(|values| format!("[{}]", values.join(" , "))),
                prop::collection::vec((name(), inner), 0..4).prop_map(object),
            ]
        })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "time",
        r"t\u0069me",
        "entity_id",
        "site_name",
        "filter_id",
        "region_names",
        "entrances",
        "dwell_time",
        "data",
        r"d\u0061ta",
        "status",
        "success",
        "site_mapping",
        "computed_at",
        "x",
        r#"\"{\""#,
        "ü😀",
        "",
    ])
    .prop_map(ToOwned::to_owned)
}

fn object(fields: Vec<(String, String)>) -> String {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| format!("\n\"{name}\" :\t{value}"))
        .collect();
    format!("{{{}}} ", fields.join(","))
}

/// An object with these fields in any order, and sometimes with another field or a repeated one.
fn object_of(
    fields: Vec<(&'static str, BoxedStrategy<String>)>,
    others: usize,
) -> BoxedStrategy<String> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| value.prop_map(move |value| (name.to_owned(), value)))
        .collect();
    (fields, prop::collection::vec((name(), value()), 0..=others))
        .prop_map(|(mut fields, others)| {
            fields.extend(others);
            fields
        })
        .prop_shuffle()
        .prop_map(object)
        .boxed()
}

fn one_of(values: &[&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(values.to_vec())
        .prop_map(ToOwned::to_owned)
        .boxed()
}

fn row() -> BoxedStrategy<String> {
    let time = one_of(&[
        r#""2026-02-18 09:00:00""#,
        r#""2026-02-18T09:15:00""#,
        r#""2026-02-19 23:45:00""#,
        r#""2026-02-17 00:00:00""#,
        r#""2026-02-18 0\u0039:00:00""#,
    ]);
    let figure = one_of(&["1", "19", "2.0", "null", "-1e-400", "1.25e2"]);
    prop_oneof![
        50 => object_of(vec![("time", time), ("entrances", figure)], 2),
        1 => value(),
    ]
    .boxed()
}

/// Trusted answers, and some that are nearly so.
fn any_answer() -> BoxedStrategy<String> {
    let rows = prop::collection::vec(row(), 0..6)
        .prop_map(|rows| format!(" [ {} ]", rows.join(" ,\r\n")))
        .boxed();
    let insight = object_of(
        vec![
            ("data", rows),
            ("status", one_of(&[r#""success""#])),
            (
                "is_data_truncated",
                one_of(&["false", "null", "false", "true"]),
            ),
        ],
        1,
    );
    let data = object_of(vec![(r"Insight\u0052esponse", insight)], 1);
    object_of(vec![("data", data), ("success", one_of(&["true"]))], 1)
}

proptest! {
    #[test]
    fn any_answer_is_the_same_in_any_pieces(
        answer in any_answer(),
        lengths in prop::collection::vec(1..40_usize, 1..8),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let shape = shape(&[VendorMetric::Entrances]);
        let mut body = answer.into_bytes();
        if let Some((at, byte)) = damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.map_or(body.len(), |cut| cut.index(body.len())));

        let whole = parse(&body, &shape);
        let pieces = in_pieces(&body, lengths, &shape);

        prop_assert_eq!(shown(&pieces), shown(&whole));
        prop_assert_eq!(shown(&in_pieces(&body, [1], &shape)), shown(&whole));
        if whole.is_ok() {
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok());
        }
    }

    #[test]
    fn a_trusted_answer_is_cut_wherever_it_ends_early(answer in any_answer(), at in any::<prop::sample::Index>()) {
        let shape = shape(&[VendorMetric::Entrances]);
        let body = answer.trim_end().as_bytes();
        if parse(body, &shape).is_ok() {
            let fault = parse(&body[..at.index(body.len())], &shape).unwrap_err();

            prop_assert_eq!(fault, Fault::Cut);
        }
    }
}
