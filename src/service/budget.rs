//! Bounds the memory of all in-flight answers together.
//!
//! A slow reader holds its answer's table while it reads, and one HTTP/2 connection may have a hundred such readers;
//! `limits.max_in_flight` alone would let them use gigabytes. So they share a quarter of `cache.max_bytes`, beside the cache.
//!
//! A query reserves its memory before it looks anything up, since its grid of cells may be larger than its table: 40 bytes for each cell;
//! for each row, 8 for each figure and 56 more, or 97 with `include=coverage` (105 beside a comparison), and 32 more with `include=period`;
//! for many rows, 4 MiB for a coding's state and the pieces. After the rollup, it returns the memory of the cells. A query larger than the
//! whole budget reserves all of it, so every allowed query can eventually run. Queries queue in order (tokio's `Semaphore`); one that waits
//! longer than `limits.request_timeout` gets 503 `overloaded`. Queries that need less than 128 KiB reserve nothing, and therefore never
//! wait: `limits.max_in_flight` bounds them, and a body that is written in pieces counts as in flight until it is sent.
//!
//! The price: a large query that finds the budget exhausted starts no fetch, and one that waits for the vendor keeps its reservation. No
//! fetch in progress needs this memory, or waits for a query that holds it, so neither can block the other for ever.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::domain::cell::Cell;
use crate::domain::plan::Plan;
use crate::domain::query::{GroupBy, Query};
use crate::domain::row_count::row_count;

/// The budget counts memory in units of this many bytes.
const UNIT: usize = 1024;
/// Queries that need less reserve nothing: `limits.max_in_flight` bounds their number.
const MODEST: usize = 128 * 1024;
/// Bytes of a missing cell: 28 while its query claims and plans it (`benches/queue.rs` measured 68, with the 40 of its place in the
/// grid), and 64 for its outcome on the way to the query.
const MISSING_CELL: usize = 96;
/// Bytes of a row besides its figures: its visibility, its coverage, and its time, both as a value and as text.
const BESIDE_FIGURES: usize = 56;
/// Bytes of a row's columns of `include=coverage`.
const WORTH: usize = 41;
/// Bytes of its column of `include=coverage` that is about the other side of a comparison.
const PREVIOUS_WORTH: usize = 8;
/// Bytes of a row's columns of `include=period`, which the series share.
const PERIOD: usize = 32;
/// Bytes of a coding's state and of the pieces in transit, for an answer that may be written in pieces.
const CODING: usize = 4 * 1024 * 1024;

/// Memory for in-flight answers.
#[derive(Debug)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
    all: u32,
}

/// The memory of a query, in bytes, until its answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryNeed {
    /// For fetching its missing cells: all cells, until the first look-up.
    missing: usize,
    /// For the cells of its rollup.
    cells: usize,
    /// For its rows until they are sent.
    rows: usize,
}

/// A query's share of the budget before its rows exist.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    missing: Option<OwnedSemaphorePermit>,
    cells: Option<OwnedSemaphorePermit>,
    rows: MemoryPermit,
}

/// An answer's share of the budget. Dropping the last clone returns it.
#[derive(Clone, Debug, Default)]
pub struct MemoryPermit(
    #[expect(dead_code, reason = "only its drop matters")] Option<Arc<OwnedSemaphorePermit>>,
);

impl MemoryNeed {
    pub(super) fn of(query: &Query, plan: &Plan) -> Self {
        // Each side of a comparison has its own grid as well, and its own columns. Without one, late days need a grid of their own.
        let (sides, columns) = match query.compare {
            Some(_) => (2, 3),
            None if query.hours.past_midnight() => (1, 1),
            None => (0, 1),
        };
        let lines = plan.series().len() * query.sites.len();
        let cells = lines * plan.days().len();
        let of_sides = sides * lines * query.dates.len() * query.days_of_a_date();
        let figures = columns * size_of::<f64>() * query.metrics.len();
        // By site, row and figure: whether the part of the site is left out.
        let parts = if query.group_by == GroupBy::Site || query.min_coverage.is_none() {
            0
        } else {
            let one = Query {
                limit: Some(1),
                ..query.clone()
            };
            let rows = row_count(&one);
            (query.sites.len() * query.metrics.len()).saturating_mul(rows) / 8
        };
        let worth = match (query.include.coverage, &query.compare) {
            (false, _) => 0,
            (true, None) => WORTH,
            (true, Some(_)) => WORTH + PREVIOUS_WORTH,
        };
        let period = if query.include.period { PERIOD } else { 0 };
        let rows = row_count(query).saturating_mul(figures + BESIDE_FIGURES + worth + period);
        Self {
            missing: cells.saturating_mul(MISSING_CELL),
            cells: (cells + of_sides)
                .saturating_mul(size_of::<Option<Cell>>())
                .saturating_add(parts),
            rows: if rows > MODEST { rows + CODING } else { rows },
        }
    }
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / UNIT as u64)
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            units: Arc::new(Semaphore::new(all as usize)),
            all,
        }
    }

    /// Waits for room, in order of arrival; `None` if there is none by the `deadline`.
    ///
    /// A query larger than the whole budget reserves all of it, so every query can run alone.
    pub(super) async fn take(&self, needs: MemoryNeed, deadline: Instant) -> Option<Reservation> {
        // The queue for the vendor bounds the missing cells of many small queries.
        if needs.cells.saturating_add(needs.rows) <= MODEST {
            return Some(Reservation::default());
        }
        let units = |bytes: usize| {
            let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
            units.min(self.all)
        };
        let rows = units(needs.rows);
        let kept = units(needs.cells).saturating_add(rows).min(self.all);
        let all = units(needs.missing).saturating_add(kept).min(self.all);
        let taken = Arc::clone(&self.units).acquire_many_owned(all);
        let mut taken = timeout_at(deadline, taken).await.ok()?.ok()?;
        Some(Reservation {
            missing: taken.split((all - kept) as usize),
            cells: taken.split((kept - rows) as usize),
            rows: MemoryPermit(Some(Arc::new(taken))),
        })
    }
}

impl Reservation {
    /// Returns the memory that `cells` missing cells do not need: most queries lack few cells.
    pub(super) fn shrink_to_missing(&mut self, cells: usize) {
        let Some(permit) = &mut self.missing else {
            return;
        };
        let needed = cells.saturating_mul(MISSING_CELL).div_ceil(UNIT);
        let spare = permit.num_permits().saturating_sub(needed);
        drop(permit.split(spare));
    }

    /// Returns the memory for fetching missing cells.
    pub(super) fn gathered(&mut self) {
        self.missing = None;
    }

    /// Returns the memory of the cells, which are no longer needed.
    pub(super) fn without_cells(self) -> MemoryPermit {
        drop((self.missing, self.cells));
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use jiff::civil::date;

    use super::*;
    use crate::domain::bucket::{Bucket, VendorBucket};
    use crate::domain::comparison::{Comparison, Mode, Shift};
    use crate::domain::date_expression::DateExpression;
    use crate::domain::dates::DateRange;
    use crate::domain::metric::Metric;
    use crate::domain::site::{CustomerId, SiteId};

    const MINUTE: Duration = Duration::from_mins(1);
    const MIB: usize = 1024 * 1024;

    fn needs(sites: u64, dates: &str, bucket: Bucket) -> MemoryNeed {
        let DateExpression::Range(dates) = dates.parse().unwrap() else {
            panic!("{dates}")
        };
        let query = Query {
            bucket,
            ..Query::new(
                CustomerId::new(1).unwrap(),
                (1..=sites).filter_map(SiteId::new).collect(),
                dates,
                vec![Metric::Entrances, Metric::WalkBys],
            )
        };
        MemoryNeed::of(&query, &Plan::new(&query, VendorBucket::HOUR))
    }

    /// Half of the budget of these tests, most of it for cells.
    const HALF: MemoryNeed = MemoryNeed {
        missing: MIB,
        cells: 2 * MIB,
        rows: 2 * MIB,
    };

    fn budget() -> Budget {
        Budget::new(10 * MIB as u64)
    }

    async fn take(budget: &Budget, needs: MemoryNeed) -> Option<Reservation> {
        budget.take(needs, Instant::now() + MINUTE).await
    }

    #[test]
    fn a_query_needs_memory_for_its_cells_and_its_rows() {
        let cell = size_of::<Option<Cell>>();

        let total = needs(200, "2026-01-01..2026-12-31", Bucket::Total);
        let hours = needs(100, "2026-01-01..2026-01-31", Bucket::HOUR);

        assert_eq!(total.cells, 2 * 200 * 365 * cell);
        assert_eq!(total.rows, 200 * (2 * 8 + BESIDE_FIGURES));
        assert_eq!(hours.cells, 2 * 100 * 31 * cell);
        assert_eq!(
            hours.rows,
            100 * 31 * 24 * (2 * 8 + BESIDE_FIGURES) + CODING
        );
    }

    #[test]
    fn each_side_needs_a_grid_of_its_own_and_so_do_late_days() {
        let need = |hours: &str, compare: Option<Comparison>| {
            let query = Query {
                bucket: Bucket::Day,
                hours: hours.parse().unwrap(),
                compare,
                ..Query::new(
                    CustomerId::new(1).unwrap(),
                    (1..=50).filter_map(SiteId::new).collect(),
                    DateRange::new(date(2026, 2, 1), date(2026, 2, 28)).unwrap(),
                    vec![Metric::Entrances],
                )
            };
            let need = MemoryNeed::of(&query, &Plan::new(&query, VendorBucket::HOUR));
            need.cells / (50 * size_of::<Option<Cell>>())
        };
        let week_before = || {
            let dates = DateRange::new(date(2026, 2, 1), date(2026, 2, 28)).unwrap();
            Comparison::new(Mode::PreviousWeek, dates, Shift::Days(-7), None)
        };

        assert_eq!(need("00:00-24:00", None), 28);
        assert_eq!(need("22:00-02:00", None), 29 + 2 * 28);
        assert_eq!(need("00:00-24:00", week_before()), 35 + 2 * 28);
        assert_eq!(need("22:00-02:00", week_before()), 36 + 2 * 2 * 28);
    }

    #[tokio::test(start_paused = true)]
    async fn queries_wait_for_room_in_order_and_only_until_their_deadline() {
        let budget = budget();
        let first = take(&budget, HALF).await.unwrap();
        let second = take(&budget, HALF).await.unwrap();
        let began = Instant::now();
        assert!(take(&budget, HALF).await.is_none());
        assert_eq!(began.elapsed().as_secs(), MINUTE.as_secs());

        let (third, fourth) = tokio::join!(take(&budget, HALF), async {
            drop(first);
            take(&budget, HALF).now_or_never()
        });

        assert!(third.is_some() && fourth.is_none());
        drop((second, third));
        assert!(take(&budget, HALF).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_query_never_waits() {
        let budget = budget();
        let _all = take(
            &budget,
            MemoryNeed {
                rows: 10 * MIB,
                ..HALF
            },
        )
        .await;

        let small = needs(10, "2026-01-01..2026-01-07", Bucket::HOUR);

        assert!(take(&budget, small).now_or_never().flatten().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn even_the_largest_query_can_run_alone() {
        for bytes in [0, MIB as u64] {
            let budget = Budget::new(bytes);
            let largest = MemoryNeed {
                missing: usize::MAX,
                cells: usize::MAX,
                rows: usize::MAX,
            };

            let room = take(&budget, largest).await;

            assert!(room.is_some());
            assert!(take(&budget, HALF).await.is_none());
            let share = room.map(Reservation::without_cells);
            assert!(take(&budget, HALF).await.is_none());
            drop(share);
            assert!(take(&budget, HALF).await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cells_return_their_memory_once_the_rows_exist() {
        let budget = budget();
        let shares = [
            take(&budget, HALF).await.unwrap().without_cells(),
            take(&budget, HALF).await.unwrap().without_cells(),
            take(&budget, HALF).await.unwrap().without_cells(),
        ];
        assert!(take(&budget, HALF).await.is_none());

        drop(shares);

        assert_eq!(budget.units.available_permits(), 10 * MIB / UNIT);
    }
}
