//! Cost of a miss apart from the network: reading the vendor's answer into cells, whole and in the pieces in which it arrives, compared
//! with the least possible cost of reading it.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

#[path = "support/report.rs"]
mod report;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::civil::date;
use pitaya::domain::directory::SiteDirectory;
use pitaya::upstream::credited_cells;

/// Approximate size of one read from a socket.
const PIECE: usize = 16 * 1024;

fn parse(criterion: &mut Criterion) {
    let request = report::request(50, date(2026, 2, 1), date(2026, 2, 6));
    let directory = SiteDirectory::new(None);
    let body = report::answer(&request).into_bytes();
    let read = |piece: usize| {
        let pieces = black_box(&body).chunks(piece);
        let cells = credited_cells(pieces, &request, &directory, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(cells.len(), request.cells().count());
    };
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("pure", |bencher| {
        bencher.iter(|| report::pure(black_box(&body)));
    });
    group.bench_function("whole", |bencher| bencher.iter(|| read(body.len())));
    group.bench_function("in pieces", |bencher| bencher.iter(|| read(PIECE)));
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
