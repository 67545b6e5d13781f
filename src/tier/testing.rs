//! Helpers for tests: cells for tests of tiers, and a tier for tests of everything else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use parking_lot::Mutex;

use super::{
    Allowance, Away, Codec, Knowledge, Landed, Lease, Left, Part, Patience, Shapes, Tier,
    TierState, Told, retain_held,
};
use crate::domain::bucket::VendorBucket;
use crate::domain::cell::{Cell, CellKey};
use crate::domain::dates::{DateRange, add_days};
use crate::domain::figures::Figures;
use crate::domain::metric::VendorMetric;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::domain::purge::Purge;
use crate::domain::site::{CustomerId, SiteId};

pub(super) const SHAPE: MonthShape = MonthShape(7);

pub(super) fn codec() -> Codec {
    Codec::new("https://vendor.example/", b"")
}

/// The key of a site's cell, `day` days after the first of February.
pub(super) fn key(site: u64, day: i32) -> CellKey {
    CellKey {
        customer: CustomerId::new(123).unwrap(),
        site: SiteId::new(site).unwrap(),
        metric: VendorMetric::Entrances,
        bucket: VendorBucket::HOUR,
        date: day_of(day),
    }
}

pub(super) fn day_of(day: i32) -> Date {
    add_days(date(2026, 2, 1), day)
}

/// A cell with one figure, fetched at the given second.
pub(super) fn cell(figure: u32, second: i64) -> Cell {
    let mut figures = vec![None; 24];
    figures[9] = Some(f64::from(figure));
    let fetched_at = Timestamp::from_second(1_770_000_000 + second).unwrap();
    Cell::new(Figures::pack(&figures), fetched_at, None)
}

pub(super) fn landed(cells: impl IntoIterator<Item = (CellKey, Cell)>) -> Landed {
    let cells: Vec<_> = cells.into_iter().collect();
    let months = cells.iter().map(|(key, _)| (SeriesMonth::of(key), SHAPE));
    Landed {
        shapes: Arc::new(months.collect::<Shapes>()),
        lease: Lease::default(),
        cells,
    }
}

pub(super) fn purge(site: Option<u64>, days: Option<(i32, i32)>) -> Purge {
    Purge {
        customers: BTreeSet::from([CustomerId::new(123).unwrap()]),
        sites: site.map(|site| BTreeSet::from([SiteId::new(site).unwrap()])),
        dates: days.and_then(|(from, to)| DateRange::new(day_of(from), day_of(to))),
    }
}

/// Has learned nothing, and has no allowance to share.
#[derive(Debug)]
pub(super) struct Ignorance;

impl Knowledge for Ignorance {
    fn changed(&self, _: &HashMap<String, u64>) -> Vec<Part> {
        Vec::new()
    }

    fn written(&self, _: &Part) {}

    fn restore(&self, _: &str, _: &[u8]) -> bool {
        false
    }
}

impl Allowance for Ignorance {
    fn tell(&self) -> Told {
        Told::default()
    }

    fn hear(&self, _: Left) {}

    fn miss(&self, _: usize, _: bool) {}

    fn until_urgent(&self) -> BoxFuture<'_, ()> {
        pending().boxed()
    }
}

type Pages = HashMap<SeriesMonth, (MonthShape, BTreeMap<Date, Cell>)>;

/// A tier in memory, which does not outlive the process.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pages: Mutex<Pages>,
}

impl Tier for Memory {
    fn read<'a>(
        &'a self,
        months: Vec<(SeriesMonth, MonthShape)>,
        _: &'a mut Patience,
    ) -> BoxFuture<'a, Vec<Page>> {
        let pages = self.pages.lock();
        let kept = months.iter().map(|(month, shape)| {
            let page = pages.get(month).filter(|(found, _)| found == shape);
            let cells = page.into_iter().flat_map(|(_, cells)| cells);
            Page::of(cells.map(|(date, cell)| (*date, cell.clone())))
        });
        ready(kept.collect()).boxed()
    }

    fn put(&self, mut landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32) {
        let mut pages = self.pages.lock();
        retain_held(&mut landed.cells, held);
        for (key, cell) in landed.cells {
            let month = SeriesMonth::of(&key);
            let shape = landed.shapes[&month];
            let page = pages.entry(month).or_insert((shape, BTreeMap::new()));
            if page.0 != shape {
                *page = (shape, BTreeMap::new());
            }
            let known = page.1.get(&key.date).map(Cell::fetched_at);
            if known.is_none_or(|known| known <= cell.fetched_at()) {
                page.1.insert(key.date, cell);
            }
        }
    }

    fn begin_purge(&self, purge: Purge) -> Arc<Purge> {
        Arc::new(purge)
    }

    fn finish_purge(&self, purge: Arc<Purge>) -> BoxFuture<'static, Result<(), Away>> {
        for (month, (_, cells)) in self.pages.lock().iter_mut() {
            if purge.covers(month.customer, month.site) {
                cells.retain(|date, _| !purge.covers_date(*date));
            }
        }
        ready(Ok(())).boxed()
    }

    fn forget_later_than(&self, time: Timestamp) {
        for (_, cells) in self.pages.lock().values_mut() {
            cells.retain(|_, cell| cell.fetched_at() <= time);
        }
    }

    fn state(&self) -> TierState {
        TierState::Open
    }

    fn measure(&self) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

/// Puts cells, all of whose claims are held.
pub(super) fn put(tier: &dyn Tier, landed: Landed) {
    tier.put(landed, &|_| u32::MAX);
}

/// Makes both steps of a purge.
pub(super) fn forget(tier: &dyn Tier, purge: Purge) -> BoxFuture<'static, Result<(), Away>> {
    tier.finish_purge(tier.begin_purge(purge))
}
