//! Cost of a cell: bytes per figure, including all overheads of cell, page and map, and the time to pack, sum and store it.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::civil::date;
use pitaya::cache::{CellStore, LookedUp};
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::{Cell, CellKey, ReportRequest};
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::metric::{MetricSet, VendorMetric};
use pitaya::domain::site::{CustomerId, SiteId};

const SLOTS: usize = 96;
const OPEN: Range<u32> = 36..84;
const ROUND_THE_CLOCK: Range<u32> = 0..96;

/// A day of counts, up to `peak`, in the slots of the opening hours.
fn day(open: &Range<u32>, peak: u32) -> Vec<Option<f64>> {
    (0..u32::try_from(SLOTS).unwrap())
        .map(|slot| {
            open.contains(&slot)
                .then(|| f64::from(slot * 7919 % (peak + 1)))
        })
        .collect()
}

fn request(first_site: u64, month: i8) -> ReportRequest {
    let first = date(2026, month, 1);
    ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: (first_site..first_site + 50)
            .filter_map(SiteId::new)
            .collect(),
        dates: DateRange::new(first, first.last_of_month()).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::from_minutes(15).unwrap(),
    }
}

/// Puts the cells of a report into the store, as a fetching task does, and returns their number of figures.
fn fill(store: &Arc<CellStore<(), ()>>, request: &ReportRequest, values: &[Option<f64>]) -> usize {
    let wanted: Vec<CellKey> = request.cells().collect();
    let looked_up = LookedUp {
        completions: store.completions(),
        shape: store.shape(),
    };
    let claim = store.claim(wanted.iter().copied(), looked_up, (), |_| Ok::<_, ()>(()));
    let mine = claim.unwrap().mine.unwrap();
    for (claimed, _) in mine.split(&[], |_| vec![(request.clone(), ())]) {
        // Each cell has bytes of its own, as after an answer of the vendor.
        let cell = || Cell::new(Figures::pack(values), Timestamp::UNIX_EPOCH, None);
        let cells = wanted.iter().map(|key| (*key, Ok(cell())));
        claimed.complete(cells.collect(), Timestamp::UNIX_EPOCH, |_, _| false);
    }
    wanted.len() * SLOTS
}

fn store() -> Arc<CellStore<(), ()>> {
    Arc::new(CellStore::new(1 << 32))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn each(bytes: u64, figures: usize) -> f64 {
    bytes as f64 / figures as f64
}

/// Bytes per figure of 50 sites and a month, as weighed by the store.
fn bytes_per_figure(values: &[Option<f64>]) -> f64 {
    let store = store();
    let figures = fill(&store, &request(1, 1), values);
    each(store.bytes(), figures)
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() * 1024)
}

/// Compares the store's weights with its actual memory: a year of 6,000 sites, weighed and measured (if there is a `/proc`).
fn weigh() {
    let values = day(&OPEN, 255);
    let before = resident();
    let store = store();
    let mut figures = 0;
    for month in 1..=12 {
        for group in 0..120 {
            figures += fill(&store, &request(1 + group * 50, month), &values);
        }
    }
    let weighed = store.bytes();
    println!(
        "{figures} figures: weighed {:.3} bytes each, resident {:.3} bytes each",
        each(weighed, figures),
        each(resident() - before, figures)
    );
}

fn cells(criterion: &mut Criterion) {
    weigh();
    for peak in [50, 255, 2000] {
        let values = day(&OPEN, peak);
        println!(
            "counts up to {peak}, all overheads included: {:.2} bytes a figure where half of the day is closed, {:.2} where it is not",
            bytes_per_figure(&values),
            bytes_per_figure(&day(&ROUND_THE_CLOCK, peak)),
        );

        criterion.bench_function(&format!("pack a day of counts up to {peak}"), |bencher| {
            bencher.iter(|| Figures::pack(black_box(&values)));
        });
        for (name, open) in [("half-closed", &OPEN), ("whole", &ROUND_THE_CLOCK)] {
            let figures = Figures::pack(&day(open, peak));
            criterion.bench_function(
                &format!("sum a {name} day of counts up to {peak}"),
                |bencher| {
                    bencher.iter(|| black_box(&figures).sum(0..SLOTS));
                },
            );
        }
    }
    let values = day(&OPEN, 255);
    let (store, request) = (store(), request(1, 1));
    criterion.bench_function("complete 50 sites and a month", |bencher| {
        bencher.iter(|| fill(&store, &request, black_box(&values)));
    });
    let yesterday = ReportRequest {
        dates: DateRange::day(date(2026, 1, 31)).unwrap(),
        ..request
    };
    criterion.bench_function("complete 50 sites and a day of that month", |bencher| {
        bencher.iter(|| fill(&store, &yesterday, black_box(&values)));
    });
}

criterion_group!(benches, cells);
criterion_main!(benches);
