//! Answers for the tests of presentation.

use std::io::Read;
use std::sync::Arc;

use jiff::civil::date;

use super::coding::Coding;
use super::format::Format;
use super::large::Large;
use super::layout::Layout;
use super::meta::SiteProblem;
use super::notation::Notations;
use super::render::{Form, Sizes, render_in};
use super::rendering::RenderedBody;
use crate::domain::bucket::Hours;
use crate::domain::dates::DateRange;
use crate::domain::metric::Metric;
use crate::domain::query::Query;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::table::{Group, Table, Values};
use crate::service::{Answer, CacheOutcome, CellCounts, Forward, MemoryPermit, SiteInfo, Timings};
use crate::upstream::UpstreamError;

pub(in crate::http) fn query() -> Query {
    Query {
        hours: "09:00-10:00".parse::<Hours>().unwrap(),
        ..Query::new(
            CustomerId::new(123).unwrap(),
            vec![SiteId::new(750).unwrap()],
            DateRange::day(date(2026, 2, 18)).unwrap(),
            vec![Metric::Entrances],
        )
    }
}

/// An answer with one series for each named site, a row for each hour from nine, and no figures.
pub(in crate::http) fn answer(
    sites: &[(u64, Option<&str>)],
    hours: i8,
    metrics: Vec<Metric>,
) -> Answer {
    let infos: Vec<_> = sites
        .iter()
        .map(|(id, name)| SiteInfo {
            site: SiteId::new(*id).unwrap(),
            name: name.map(str::to_owned),
            timezone: None,
        })
        .collect();
    let groups = infos.iter().map(|info| Group::Site(info.site)).collect();
    let times = (9..9 + hours)
        .map(|hour| date(2026, 2, 18).at(hour, 0, 0, 0))
        .collect();
    Answer {
        cells: CellCounts::default(),
        table: Table::new(groups, times, metrics),
        totals: None,
        cuts: Vec::new(),
        sites: infos,
        as_of: "2026-02-19T15:03:24.811Z".parse().unwrap(),
        provisional_from: None,
        expires_at: "2026-02-19T16:00:00Z".parse().unwrap(),
        errors: Vec::new(),
        memory: MemoryPermit::default(),
        epoch: 0,
        outcome: CacheOutcome {
            forward: Forward::Hit,
            circuit_open: false,
            collapsed: false,
            stale: None,
        },
        timings: Timings::default(),
    }
}

/// Two hours at a site with one of each kind of extra column.
pub(super) fn with_extras() -> Answer {
    let mut answer = answer(&[(750, Some("Tyler"))], 2, vec![Metric::Entrances]);
    answer.table.row_mut(0, 0)[0] = 77.0;
    let before = date(2026, 2, 11).at(9, 0, 0, 0);
    let (previous, change) = (Some("previous"), Some("change"));
    for (within, name, values) in [
        (None, "days", Values::CountsByTime(vec![4.0, 5.0])),
        (
            previous,
            "time",
            Values::TimesByTime(vec![Some(before), None]),
        ),
        (previous, "entrances", Values::Counts(vec![80.0, f64::NAN])),
        (
            change,
            "entrances",
            Values::Decimals(vec![-0.0375, f64::NAN]),
        ),
        (None, "state", Values::Words(vec![Some("final"), None])),
        (None, "clipped", Values::Flags(vec![true, false])),
        (previous, "coverage", Values::Decimals(vec![0.25, f64::NAN])),
    ] {
        answer.table.push_extra(within, name, values);
    }
    answer
}

pub(in crate::http) fn describe(_: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: "upstream-timeout",
        detail: "The vendor did not answer in time.".to_owned(),
    }
}

/// That format with local times.
pub(super) fn plain(format: Format) -> Form {
    Form {
        format,
        notations: Notations::local(),
        dwell_time_unit: None,
    }
}

/// The whole body of an answer with that layout.
pub(super) fn written(layout: &Layout, answer: &Answer) -> String {
    let mut out = layout.opening.clone();
    let left = layout.write_rows(&answer.table, 0, &mut out, usize::MAX);
    assert_eq!(left, None);
    String::from_utf8(out).unwrap()
}

/// A body of that many rows and as many pieces.
pub(in crate::http) fn large(rows: i8) -> Arc<Large> {
    let answer = answer(&[(750, Some("Tyler"))], rows, vec![Metric::Entrances]);
    let sizes = Sizes { piece: 1, whole: 0 };
    match render_in(sizes, &query(), answer, plain(Format::Ndjson), describe).body {
        RenderedBody::Large(large) => large,
        RenderedBody::Whole(_) => panic!("it is longer than nothing"),
    }
}

/// Decodes the bytes of `encoded`.
pub(super) fn decoded(coding: Coding, mut encoded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstd => plain = zstd::stream::decode_all(encoded).unwrap(),
        Coding::Brotli => brotli::BrotliDecompress(&mut encoded, &mut plain).unwrap(),
        Coding::Gzip => {
            let mut reader = flate2::read::GzDecoder::new(encoded);
            reader.read_to_end(&mut plain).unwrap();
        }
        Coding::Identity => plain = encoded.to_vec(),
    }
    plain
}
