//! The pages held in memory. One thread at a time changes a page: it reads, changes and replaces the page under the page's own lock.
//!
//! The least recently used page goes first: frequency-based admission would turn away pages that have just been fetched, again and
//! again.
//!
//! A dropped page leaves its figures for comparison: they no longer answer queries, but show what the vendor has changed once it is asked
//! again. They have their own small share of the memory.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::domain::cell::{Cell, CellKey};
use crate::domain::dates::DateRange;
use crate::domain::month::SeriesMonth;
use crate::domain::page::{Page, newer};

/// Bytes of an entry beside its key and page: the map's nodes, its places in the queues of eviction and expiry, and the allocator's
/// rounding. Measured by `benches/cells.rs` as resident memory minus the weight of the pages (moka 0.12, glibc).
const ENTRY_OVERHEAD: usize = 400;

/// Dropped pages may take this fraction of the memory.
const DROPPED_SHARE: u64 = 32;

type Map = Cache<SeriesMonth, Arc<Page>, foldhash::fast::RandomState>;

/// Cells in memory, by month.
#[derive(Debug)]
pub(super) struct Pages {
    held: Map,
    /// The dropped cells.
    dropped: Map,
}

/// The cells of a month that are in memory, or were dropped from it without being forgotten.
#[derive(Debug)]
pub struct LastKnown([Option<Arc<Page>>; 2]);

impl LastKnown {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The newest cell of that date; the caller knows that its month is this one.
    #[must_use]
    pub fn get(&self, date: Date) -> Option<Cell> {
        let [dropped, held] = &self.0;
        let of_date = |page: &Option<Arc<Page>>| page.as_ref()?.get(date);
        newer(of_date(dropped), of_date(held))
    }
}

impl Pages {
    /// Holds at most `max_bytes` of pages.
    pub(super) fn new(max_bytes: u64) -> Self {
        let map = |max_bytes| {
            Cache::builder()
                .max_capacity(max_bytes)
                .weigher(|_: &SeriesMonth, page: &Arc<Page>| {
                    u32::try_from(page.bytes() + size_of::<SeriesMonth>() + ENTRY_OVERHEAD)
                        .unwrap_or(u32::MAX)
                })
                .eviction_policy(EvictionPolicy::lru())
        };
        let hasher = foldhash::fast::RandomState::default;
        let share = max_bytes / DROPPED_SHARE;
        let dropped = map(share).build_with_hasher(hasher());
        let heir = dropped.clone();
        let held = map(max_bytes - share)
            .eviction_listener(move |key: Arc<SeriesMonth>, page, cause| {
                if cause.was_evicted() {
                    merge(&heir, *key, || page);
                    metrics::counter!("pitaya_cache_evictions_total", "kind" => "cells")
                        .increment(1);
                }
            })
            .build_with_hasher(hasher());
        Self { held, dropped }
    }

    /// Calls `visit` with each of `dates`, ascending and counted from 0, and its cell in the series of `first`. The date of `first` does
    /// not matter.
    pub(super) fn look_up(
        &self,
        first: CellKey,
        dates: DateRange,
        mut visit: impl FnMut(usize, Date, Option<Cell>),
    ) {
        let mut month = None;
        let mut page: Option<Arc<Page>> = None;
        for (index, date) in dates.iter().enumerate() {
            let this_month = (date.year(), date.month());
            if month != Some(this_month) {
                month = Some(this_month);
                page = self.get(&SeriesMonth::of(&CellKey { date, ..first }));
            }
            visit(index, date, page.as_ref().and_then(|page| page.get(date)));
        }
    }

    /// The page of `key`.
    pub(super) fn get(&self, key: &SeriesMonth) -> Option<Arc<Page>> {
        self.held.get(key)
    }

    /// The cells of that month that are in memory or were dropped.
    pub(super) fn last_known(&self, key: &SeriesMonth) -> LastKnown {
        LastKnown([&self.dropped, &self.held].map(|pages| pages.get(key)))
    }

    /// Puts in the cells of the page that `choose` returns, unless there are newer ones. `choose` runs under the page's lock, so no
    /// [`forget`](Self::forget) of this page can come between it and the change.
    pub(super) fn put(&self, key: SeriesMonth, choose: impl FnOnce() -> Arc<Page>) {
        merge(&self.held, key, choose);
    }

    /// Forgets the cells of the days that `pick` returns (bit `d`: day `d`), including dropped ones. Returns the number of cells that were
    /// held.
    pub(super) fn forget(&self, key: SeriesMonth, pick: impl Fn(&Page) -> u32) -> u64 {
        let forgotten = forget(&self.held, key, &pick);
        // In this order, since a page that is dropped meanwhile moves from the first to the second.
        forget(&self.dropped, key, &pick);
        forgotten
    }

    /// Drops the pages whose cells were all requested before `before`.
    pub(super) fn drop_older_than(&self, before: Timestamp) {
        let is_old = |page: &Page| page.newest().is_none_or(|newest| newest < before);
        for (key, _) in self.iter().filter(|(_, page)| is_old(page)) {
            self.held.entry(key).and_compute_with(|page| match page {
                Some(page) if is_old(page.value()) => {
                    merge(&self.dropped, key, || Arc::clone(page.value()));
                    Op::Remove
                }
                _ => Op::Nop,
            });
        }
    }

    /// All pages, except that it may miss one that another thread puts in meanwhile.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SeriesMonth, Arc<Page>)> {
        self.held.iter().map(|(key, page)| (*key, page))
    }

    /// The months with dropped cells.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (SeriesMonth, Arc<Page>)> {
        self.dropped.iter().map(|(key, page)| (*key, page))
    }

    /// The approximate number of pages.
    pub(super) fn len(&self) -> u64 {
        self.held.entry_count()
    }

    /// The size of all pages in bytes, including overheads.
    pub(super) fn bytes(&self) -> u64 {
        self.free();
        self.held.weighted_size() + self.dropped.weighted_size()
    }

    /// Frees forgotten pages now, rather than during the next look-ups.
    pub(super) fn free(&self) {
        self.held.run_pending_tasks();
        self.dropped.run_pending_tasks();
    }
}

/// Puts in the cells of the page that `choose` returns, unless there are newer ones, under the page's lock.
fn merge(pages: &Map, key: SeriesMonth, choose: impl FnOnce() -> Arc<Page>) {
    pages.entry(key).and_compute_with(|old| {
        let page = choose();
        if page.is_empty() {
            return Op::Nop;
        }
        Op::Put(match old {
            Some(old) => Arc::new(old.value().newest_of(&page)),
            None => page,
        })
    });
}

fn forget(pages: &Map, key: SeriesMonth, pick: impl FnOnce(&Page) -> u32) -> u64 {
    let mut forgotten = 0;
    pages.entry(key).and_compute_with(|page| {
        let Some(page) = page else { return Op::Nop };
        let page = page.value();
        let (rest, count) = page.without(pick(page));
        forgotten = count;
        match (rest.len(), count) {
            (0, _) => Op::Remove,
            (_, 0) => Op::Nop,
            _ => Op::Put(Arc::new(rest)),
        }
    });
    forgotten
}
