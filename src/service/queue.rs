//! Counts, by client, the cells that are claimed and not yet requested from the vendor.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::upstream::Client;

/// Bytes of a queued cell: its share of a claim, of its report and of the task that waits for the report's turn. `benches/queue.rs`
/// measured 6 for reports of 50 sites and 31 days. A claim covers a month, so a single day costs as much as a month.
pub(super) const CELL_BYTES: usize = 8;

/// Bounds the cells in the queue for the vendor.
#[derive(Debug)]
pub(super) struct Queue {
    max: AtomicUsize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_client: HashMap<Client, usize>,
}

/// The reason why cells may not enter the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The query has more cells than the queue can ever hold.
    TooMany,
    /// Other cells fill the queue.
    Full,
}

/// Cells in the queue, until this is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    queue: Arc<Queue>,
    client: Client,
    cells: usize,
}

impl Queue {
    /// Creates a queue of at most `max` cells.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: AtomicUsize::new(max),
            counts: Mutex::default(),
        }
    }

    /// Maximum number of queued cells.
    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Admits at most `max` cells from now on; queued cells stay.
    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Number of queued cells.
    pub(super) fn cells(&self) -> usize {
        self.counts.lock().total
    }

    /// Queues the cells of one query. No client may have more than half of the queue, unless this is its only query in the queue.
    pub(super) fn admit(
        self: &Arc<Self>,
        client: &Client,
        cells: usize,
    ) -> Result<Queued, Refusal> {
        let max = self.max();
        if cells > max {
            return Err(Refusal::TooMany);
        }
        let mut counts = self.counts.lock();
        let own = counts.by_client.get(client).copied().unwrap_or(0);
        if counts.total + cells > max || (own > 0 && own + cells > max / 2) {
            return Err(Refusal::Full);
        }
        counts.total += cells;
        *counts.by_client.entry(Arc::clone(client)).or_default() += cells;
        Ok(Queued {
            queue: Arc::clone(self),
            client: Arc::clone(client),
            cells,
        })
    }
}

impl Queued {
    /// Splits off `cells` of these cells, which leave the queue separately.
    pub(super) fn split(&mut self, cells: usize) -> Self {
        self.cells = self
            .cells
            .checked_sub(cells)
            .expect("the reports of a query have its cells, each once");
        Self {
            queue: Arc::clone(&self.queue),
            client: Arc::clone(&self.client),
            cells,
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.cells == 0 {
            return;
        }
        let mut counts = self.queue.counts.lock();
        counts.total -= self.cells;
        let own = counts
            .by_client
            .get_mut(&self.client)
            .expect("a client that has cells in the queue is counted");
        *own -= self.cells;
        if *own == 0 {
            counts.by_client.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Arc<Queue> {
        Arc::new(Queue::new(100))
    }

    #[test]
    fn one_query_may_fill_the_queue_but_several_of_a_client_only_half_of_it() {
        let queue = queue();
        let (a, b): (Client, Client) = ("a".into(), "b".into());

        assert_eq!(queue.admit(&a, 101).unwrap_err(), Refusal::TooMany);
        let whole = queue.admit(&a, 100).unwrap();
        assert_eq!(queue.admit(&b, 1).unwrap_err(), Refusal::Full);
        drop(whole);

        let most = queue.admit(&a, 40).unwrap();
        assert_eq!(queue.admit(&a, 11).unwrap_err(), Refusal::Full);
        let more = queue.admit(&a, 10).unwrap();
        let other = queue.admit(&b, 50).unwrap();
        assert_eq!(queue.admit(&b, 1).unwrap_err(), Refusal::Full);
        assert_eq!(queue.cells(), 100);
        drop((most, more, other));
        assert_eq!(queue.cells(), 0);
        assert!(queue.counts.lock().by_client.is_empty());
    }

    #[test]
    fn a_part_leaves_the_queue_separately() {
        let queue = queue();
        let mut all = queue.admit(&"a".into(), 30).unwrap();

        let part = all.split(10);
        drop(part);

        assert_eq!(queue.cells(), 20);
        drop(all);
        assert_eq!(queue.cells(), 0);
    }
}
