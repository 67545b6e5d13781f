//! What a cell costs: bytes for each figure, all overheads of cell, page and map included, and time to pack and to sum.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use jiff::civil::date;
use pitaya::cache::CellStore;
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::{Cell, CellKey, ReportRequest};
use pitaya::domain::dates::DateRange;
use pitaya::domain::figures::Figures;
use pitaya::domain::metric::{MetricSet, VendorMetric};
use pitaya::domain::site::{CustomerId, SiteId};

const SLOTS: usize = 96;

/// A day of counts, from nine to nine, of which the largest is `peak`.
fn day(peak: u32) -> Vec<Option<f64>> {
    let open = 36..84;
    let slots = 0..u32::try_from(SLOTS).unwrap();
    slots
        .map(|slot| {
            open.contains(&slot)
                .then(|| f64::from(slot * 7919 % (peak + 1)))
        })
        .collect()
}

/// Bytes for each figure of 50 sites and a month, held in a store.
fn bytes_per_figure(figures: &Figures) -> f64 {
    let request = ReportRequest {
        customer: CustomerId::new(1).unwrap(),
        sites: (1..=50).filter_map(SiteId::new).collect(),
        dates: DateRange::new(date(2026, 1, 1), date(2026, 1, 31)).unwrap(),
        metrics: MetricSet::default().with(VendorMetric::Entrances),
        bucket: VendorBucket::from_minutes(15).unwrap(),
    };
    let store: Arc<CellStore<()>> = Arc::new(CellStore::new(1 << 30, Duration::from_hours(1)));
    let wanted: Vec<CellKey> = request.cells().collect();
    let claim = store.claim(&wanted, 0, |_, _| false, |_| vec![request.clone()]);
    for boarded in claim.boarded {
        // Each cell holds bytes of its own, as it does where the vendor has answered.
        let own = || Figures::pack(&figures.iter().collect::<Vec<_>>());
        let cells = wanted
            .iter()
            .map(|key| (*key, Ok(Cell::new(own(), Timestamp::UNIX_EPOCH, None))));
        boarded.land(cells.collect(), Timestamp::UNIX_EPOCH);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_figure = store.bytes() as f64 / (wanted.len() * SLOTS) as f64;
    per_figure
}

fn cells(criterion: &mut Criterion) {
    for peak in [50, 255, 2000] {
        let values = day(peak);
        let figures = Figures::pack(&values);
        println!(
            "counts up to {peak}: {:.2} bytes a figure, all overheads included",
            bytes_per_figure(&figures)
        );

        criterion.bench_function(&format!("pack a day of counts up to {peak}"), |bencher| {
            bencher.iter(|| Figures::pack(black_box(&values)));
        });
        criterion.bench_function(&format!("sum a day of counts up to {peak}"), |bencher| {
            bencher.iter(|| black_box(&figures).sum(0..SLOTS));
        });
    }
}

criterion_group!(benches, cells);
criterion_main!(benches);
