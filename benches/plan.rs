//! Cost of determining the cells that a query needs.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pitaya::domain::batch::{Bounds, reports};
use pitaya::domain::bucket::VendorBucket;
use pitaya::domain::cell::CellKey;
use pitaya::domain::dates::DateRange;
use pitaya::domain::metric::Metric;
use pitaya::domain::plan::Plan;
use pitaya::domain::query::Query;
use pitaya::domain::site::{CustomerId, SiteId};
use pitaya::domain::timeline::Timeline;

const BOUNDS: Bounds = Bounds {
    max_sites: 50,
    max_days: 31,
};

fn query(sites: u64, from: &str, to: &str, metrics: &[Metric], bucket: &str) -> Query {
    Query {
        bucket: bucket.parse().unwrap(),
        ..Query::new(
            CustomerId::new(123).unwrap(),
            (1..=sites).filter_map(SiteId::new).collect(),
            DateRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap(),
            metrics.to_vec(),
        )
    }
}

/// Every cell that the query needs.
fn cells(query: &Query, plan: &Plan) -> Vec<CellKey> {
    let mut cells = Vec::new();
    for series in plan.series() {
        for site in &query.sites {
            cells.extend(query.dates.iter().map(|date| CellKey {
                customer: query.customer,
                site: *site,
                metric: series.metric,
                bucket: series.bucket,
                date,
            }));
        }
    }
    cells
}

fn plans(criterion: &mut Criterion) {
    let base = VendorBucket::from_minutes(15).unwrap();
    let small = query(1, "2026-01-15", "2026-01-15", &[Metric::Entrances], "hour");
    let typical = query(20, "2026-01-01", "2026-01-31", &Metric::ALL, "day");
    let large = query(200, "2025-02-01", "2026-02-01", &[Metric::Entrances], "day");
    for (name, query) in [
        ("1 site, 1 day by hour", small),
        ("20 sites, 31 days by day, all metrics", typical),
        ("200 sites, 366 days by day", large),
    ] {
        criterion.bench_function(&format!("plan: {name}"), |bencher| {
            bencher.iter(|| Plan::new(black_box(&query), base));
        });
        criterion.bench_function(&format!("timeline: {name}"), |bencher| {
            bencher.iter(|| Timeline::new(black_box(&query)));
        });
        let plan = Plan::new(&query, base);
        let missing = cells(&query, &plan);
        criterion.bench_function(&format!("reports for all cells: {name}"), |bencher| {
            bencher.iter(|| reports(black_box(&missing), BOUNDS));
        });
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
