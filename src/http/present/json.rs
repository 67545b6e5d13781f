//! Rows as JSON objects: in a document, or one per line.

use super::layout::{Layout, Marks, Place, name_of};
use super::meta::Meta;
use super::notation::Notations;
use super::times::Times;
use crate::domain::table::{Group, Table};
use crate::service::{Answer, SiteInfo};

const DOCUMENT: Marks = Marks {
    missing: b"null",
    quote: b"\"",
    object_end: Some(b"}"),
    row_end: b"}",
    between: b",",
};

const LINES: Marks = Marks {
    row_end: b"}\n",
    between: b"",
    ..DOCUMENT
};

/// `{"meta": …, "data": [rows]}`, with the totals behind the rows.
pub(super) fn document(meta: &Meta<'_>, answer: &Answer, notations: Notations) -> Layout {
    let mut opening = b"{\"meta\":".to_vec();
    opening.extend_from_slice(&meta.to_json());
    opening.extend_from_slice(b",\"data\":[");
    let mut closing = b"]".to_vec();
    if let Some(totals) = &answer.totals {
        let mut push = |before: &[u8], table: &Table, after: &[u8]| {
            closing.extend_from_slice(before);
            let rows = objects(
                table,
                &answer.sites,
                DOCUMENT,
                Times::none(),
                Notations::local(),
            );
            rows.write_rows(table, 0, &mut closing, usize::MAX);
            closing.extend_from_slice(after);
        };
        push(b",\"totals\":[", &totals.series, b"]");
        push(b",\"grand_total\":", &totals.grand, b"");
    }
    closing.push(b'}');
    let times = times(&answer.table, &notations);
    objects(&answer.table, &answer.sites, DOCUMENT, times, notations).between(opening, closing)
}

/// One row per line (NDJSON), and nothing else.
pub(super) fn lines(answer: &Answer, notations: Notations) -> Layout {
    let times = times(&answer.table, &notations);
    objects(&answer.table, &answer.sites, LINES, times, notations)
}

fn times(table: &Table, notations: &Notations) -> Times {
    if table.profile().is_some() {
        return Times::of_profile(table, |name| format!("\"{name}\":").into_bytes(), b",");
    }
    Times::new(table.times(), notations, b"\"time\":\"", b"\",")
}

fn objects(
    table: &Table,
    sites: &[SiteInfo],
    marks: Marks,
    times: Times,
    notations: Notations,
) -> Layout {
    let groups = table.groups().iter();
    let heads = groups.map(|group| head(group, sites)).collect();
    Layout::new(table, marks, heads, times, notations, key)
}

/// The text from the end of the value before to a value.
fn key(place: Place) -> Vec<u8> {
    let name = place.name;
    let text = match place.object {
        Some(object) if place.is_first => format!(",\"{object}\":{{\"{name}\":"),
        None if place.is_first => format!("\"{name}\":"),
        _ => format!(",\"{name}\":"),
    };
    text.into_bytes()
}

/// The start of every row of a series, up to its time.
fn head(group: &Group, sites: &[SiteInfo]) -> Vec<u8> {
    let text = match group {
        Group::All => "{".to_owned(),
        Group::Site(site) => {
            let name = serde_json::Value::from(name_of(*site, sites));
            format!("{{\"site_id\":{site},\"site_name\":{name},")
        }
        Group::Tag { key, value } => {
            let value = serde_json::Value::from(value.as_deref());
            format!("{{\"{key}\":{value},")
        }
    };
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::super::testing::{answer, describe, query, with_extras, written};
    use super::*;
    use crate::domain::metric::Metric;
    use crate::domain::rollup::Totals;
    use crate::domain::site::SiteId;
    use crate::service::SiteError;
    use crate::upstream::UpstreamError;

    fn text(answer: &Answer) -> String {
        let query = query();
        let meta = Meta::new(&query, answer, answer.table.coverage(), None, describe);
        written(&document(&meta, answer, Notations::local()), answer)
    }

    #[test]
    fn the_document_matches_its_documentation() {
        let mut answer = answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        answer.table.row_mut(0, 0)[0] = 77.0;

        assert_eq!(
            text(&answer),
            concat!(
                r#"{"meta":{"customer_id":123,"from":"2026-02-18","to":"2026-02-18","#,
                r#""hours":{"from":"09:00","to":"10:00"},"bucket":"hour","group_by":"site","#,
                r#""metrics":[{"name":"entrances","over_time":"sum","over_sites":"sum","paired":false,"unit":"people","description":"People who came in."}],"#,
                r#""sites":[{"site_id":750,"name":"Tyler","timezone":null}],"#,
                r#""as_of":"2026-02-19T15:03:24Z","provisional_from":null,"coverage":{"min":null,"rows_below_1":0,"basis":"days"},"stale":false,"errors":[]},"#,
                r#""data":[{"site_id":750,"site_name":"Tyler","time":"2026-02-18T09:00:00","entrances":77}]}"#,
            )
        );
    }

    #[test]
    fn names_are_escaped_and_unknown_names_are_null() {
        let sites = [(750, Some("a\"b\\\n\u{1}é")), (751, None)];
        let answer = answer(&sites, 1, vec![Metric::Entrances]);

        let document: Value = serde_json::from_str(&text(&answer)).unwrap();

        assert_eq!(document["data"][0]["site_name"], "a\"b\\\n\u{1}é");
        assert_eq!(document["data"][1]["site_name"], Value::Null);
        assert_eq!(document["data"][1]["entrances"], Value::Null);
    }

    #[test]
    fn all_sites_combined_have_no_site_fields() {
        let mut answer = answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        let times = answer.table.times().to_vec();
        answer.table = Table::new(vec![Group::All], times, vec![Metric::Entrances]);

        let lines = written(&lines(&answer, Notations::local()), &answer);

        assert_eq!(
            lines,
            "{\"time\":\"2026-02-18T09:00:00\",\"entrances\":null}\n"
        );
    }

    #[test]
    fn totals_stand_behind_the_rows_without_a_time() {
        let metrics = vec![Metric::Entrances, Metric::DwellTime];
        let mut answer = answer(&[(750, Some("Tyler")), (751, None)], 1, metrics.clone());
        let table = |groups: Vec<_>, figures: &[[f64; 2]]| {
            let start = answer.table.times()[0];
            let mut table = Table::new(groups, vec![start], metrics.clone());
            for (group, figures) in figures.iter().enumerate() {
                table.row_mut(group, 0).copy_from_slice(figures);
            }
            table
        };
        let sites = answer.table.groups().to_vec();
        answer.totals = Some(Totals {
            series: table(sites, &[[77.0, 3.5], [f64::NAN, f64::NAN]]),
            grand: table(vec![Group::All], &[[77.0, 3.5]]),
        });

        let text = text(&answer);

        let (_, totals) = text.split_once("],\"totals\":").unwrap();
        assert_eq!(
            totals,
            concat!(
                r#"[{"site_id":750,"site_name":"Tyler","entrances":77,"dwell_time":3.5},"#,
                r#"{"site_id":751,"site_name":null,"entrances":null,"dwell_time":null}],"#,
                r#""grand_total":{"entrances":77,"dwell_time":3.5}}"#,
            )
        );
    }

    #[test]
    fn extra_columns_follow_the_metrics_and_share_their_objects() {
        let answer = with_extras();

        assert_eq!(
            written(&lines(&answer, Notations::local()), &answer),
            concat!(
                r#"{"site_id":750,"site_name":"Tyler","time":"2026-02-18T09:00:00","entrances":77,"days":4,"#,
                r#""previous":{"time":"2026-02-11T09:00:00","entrances":80,"coverage":0.25},"change":{"entrances":-0.0375},"#,
                r#""state":"final","clipped":true}"#,
                "\n",
                r#"{"site_id":750,"site_name":"Tyler","time":"2026-02-18T10:00:00","entrances":null,"days":5,"#,
                r#""previous":{"time":null,"entrances":null,"coverage":null},"change":{"entrances":null},"#,
                r#""state":null,"clipped":false}"#,
                "\n",
            )
        );
    }

    #[test]
    fn an_answer_without_rows_is_a_valid_document() {
        let answer = answer(&[(750, Some("Tyler"))], 0, vec![Metric::Entrances]);

        assert!(text(&answer).ends_with(r#""data":[]}"#));
        assert_eq!(written(&lines(&answer, Notations::local()), &answer), "");
    }

    #[test]
    fn failures_are_listed_by_site() {
        let mut answer = answer(&[(750, Some("Tyler"))], 1, vec![Metric::Entrances]);
        answer.errors.push(SiteError {
            site: SiteId::new(750).unwrap(),
            error: Arc::new(UpstreamError::Timeout),
        });

        let document: Value = serde_json::from_str(&text(&answer)).unwrap();

        assert_eq!(
            document["meta"]["errors"],
            serde_json::json!([{
                "site_id": 750,
                "type": "/problems/upstream-timeout",
                "detail": "The vendor did not answer in time.",
            }])
        );
    }
}
