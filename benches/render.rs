//! Cost of rendering an answer: each format, with its entity tag and in the content codings, relative to the bytes of the plain body.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::civil::{Date, date};
use pitaya::domain::dates::DateRange;
use pitaya::domain::metric::Metric;
use pitaya::domain::query::Query;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::domain::table::{Group, Table};
use pitaya::http::present::{
    Coding, Form, Format, Notations, RenderedBody, SiteProblem, encode, render,
};
use pitaya::service::{Answer, CacheOutcome, CellCounts, MemoryPermit, SiteInfo, Timings};
use pitaya::upstream::UpstreamError;

/// Hours of `days` at each of `sites`; a third of the hours are closed.
fn question(sites: u64, days: i32, metrics: &[Metric]) -> (Query, Answer) {
    let first = date(2026, 1, 1);
    let dates: Vec<Date> = first
        .series(jiff::Span::new().days(1))
        .take(usize::try_from(days).unwrap())
        .collect();
    let times = dates
        .iter()
        .flat_map(|date| (0..24).map(|hour| date.at(hour, 0, 0, 0)));
    let ids: Vec<SiteId> = (1000..1000 + sites).filter_map(SiteId::new).collect();
    let groups = ids.iter().copied().map(Group::Site).collect();
    let mut table = Table::new(groups, times.collect(), metrics.to_vec());
    let mut random = 1_u32;
    for group in 0..ids.len() {
        for time in (0..dates.len() * 24).filter(|time| (7..23).contains(&(time % 24))) {
            for (value, metric) in table.row_mut(group, time).iter_mut().zip(metrics) {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let drawn = f64::from(random >> 16) / 65_536.0;
                *value = match metric {
                    Metric::ConversionRate | Metric::CaptureRate => drawn,
                    Metric::DwellTime => drawn * 900.0,
                    Metric::Occupancy => drawn * 60.0,
                    _ => (drawn * drawn * 400.0).floor(),
                };
            }
        }
    }
    let query = Query::new(
        CustomerId::new(123).unwrap(),
        ids.clone(),
        DateRange::new(first, *dates.last().unwrap()).unwrap(),
        metrics.to_vec(),
    );
    let info = |site| SiteInfo {
        site,
        name: Some(format!("Store {site}, North")),
        timezone: None,
    };
    let answer = Answer {
        table,
        totals: None,
        cuts: Vec::new(),
        cells: CellCounts::default(),
        sites: ids.into_iter().map(info).collect(),
        as_of: "2026-02-19T15:03:24Z".parse().unwrap(),
        provisional_from: None,
        expires_at: "2026-02-19T16:00:00Z".parse().unwrap(),
        errors: Vec::new(),
        memory: MemoryPermit::default(),
        epoch: 0,
        outcome: CacheOutcome::HIT,
        timings: Timings::default(),
    };
    (query, answer)
}

fn plain(format: Format) -> Form {
    Form {
        format,
        notations: Notations::local(),
        dwell_time_unit: None,
    }
}

fn describe(_: &UpstreamError) -> SiteProblem {
    unreachable!("nothing is missing from these answers")
}

fn rendering(criterion: &mut Criterion) {
    let month = question(
        1,
        31,
        &[Metric::Entrances, Metric::DwellTime, Metric::ConversionRate],
    );
    let largest = question(200, 41, &Metric::ALL);
    for (name, (query, answer)) in [("month", &month), ("largest", &largest)] {
        let mut group = criterion.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2));
        for format in [Format::Json, Format::Csv, Format::Ndjson] {
            let body = render(query, answer.clone(), plain(format), describe).body;
            let length = match &body {
                RenderedBody::Whole(bytes) => bytes.len(),
                RenderedBody::Large(large) => large.length(),
            };
            println!("{name} as {}: {length} bytes", format.name());
            group.throughput(Throughput::Bytes(length as u64));
            let form = |what: &str| BenchmarkId::new(what, format.name());
            // The measured time does not include copying the answer.
            group.bench_function(form("render and tag"), |bencher| {
                bencher.iter_batched(
                    || answer.clone(),
                    |answer| render(query, answer, plain(format), describe),
                    BatchSize::PerIteration,
                );
            });
            for coding in Coding::ALL {
                let coded = coding.name().unwrap_or("plain");
                match &body {
                    RenderedBody::Whole(bytes) => {
                        if coding != Coding::Identity {
                            group.bench_function(form(coded), |bencher| {
                                bencher.iter(|| encode(coding, black_box(bytes)));
                            });
                        }
                    }
                    RenderedBody::Large(large) => {
                        let sent = || Arc::clone(large).pieces(coding).map(|piece| piece.len());
                        let worst = sent().max().unwrap_or(0);
                        println!(
                            "{name} as {} in {coded}: {} bytes, {worst} at once",
                            format.name(),
                            sent().sum::<usize>()
                        );
                        group.bench_function(form(&format!("stream {coded}")), |bencher| {
                            bencher.iter(|| sent().sum::<usize>());
                        });
                    }
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, rendering);
criterion_main!(benches);
