//! The tier on disk: files of the embedded engine `redb`. Reads go through to them; writes follow in the background.
//!
//! One thread writes, with at most one durable commit a second. A kill therefore loses only the cells of the last second, which are
//! fetched again. A purge is written at once, and answered once it is durable. If that fails, the thread removes the files: forgetting
//! too much costs a fetch, forgetting too little shows a wrong figure. Nothing is loaded at start.
//!
//! Measurements decided the engine and the rate of commits: redb is safe Rust, reads 2,400 pages in a millisecond, opens a million
//! pages in two milliseconds after a kill, and refuses a truncated file. `fault` says what happens after each fault.

mod batch;
mod commit;
mod fault;
mod folder;
mod generation;
mod probe;
mod queue;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

pub use probe::{UnusableFolder, check_folder};
pub use shared::Settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::shared::{Pace, Shared};
use self::writer::Writer;
use super::{Away, Codec, Knowledge, Landed, Patience, Tier, TierState};
use crate::clock::Clock;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::domain::purge::Purge;
use crate::tier::telemetry::{self, Outcome, Put};

/// Number of pages that one thread reads; several threads read more.
const PIECE: usize = 300;

/// Cells in a folder. While another process holds the folder, or the folder fails, this keeps nothing and finds nothing.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Starts the tier in a folder, with its writing thread. If the folder can be opened, this restores the learned facts before it
    /// returns.
    #[must_use]
    pub fn open(
        settings: Settings,
        codec: Codec,
        knowledge: Arc<dyn Knowledge>,
        clock: Clock,
    ) -> Self {
        Self::at_pace(settings, codec, knowledge, clock, Pace::default())
    }

    fn at_pace(
        settings: Settings,
        codec: Codec,
        knowledge: Arc<dyn Knowledge>,
        clock: Clock,
        pace: Pace,
    ) -> Self {
        let shared = Arc::new(Shared::new(settings, codec, clock, pace));
        let mut writer = Writer::new(Arc::clone(&shared), knowledge);
        writer.try_to_open(0);
        let thread = std::thread::Builder::new()
            .name("pitaya-disk".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                        tracing::error!(
                            "the thread of the cache on disk panicked: Pitaya no longer uses that cache"
                        );
                        shared.show(None, TierState::Away);
                        shared.end();
                    }
                }
            });
        if let Err(error) = &thread {
            tracing::error!(%error, "could not start the thread of the cache on disk: Pitaya does not use that cache");
            shared.show(None, TierState::Away);
            shared.end();
        }
        Self {
            shared,
            thread: Mutex::new(thread.ok()),
        }
    }
}

impl Tier for Disk {
    fn read<'a>(
        &'a self,
        months: Vec<(SeriesMonth, MonthShape)>,
        _: &'a mut Patience,
    ) -> BoxFuture<'a, Vec<Page>> {
        Box::pin(async move {
            let began = Instant::now();
            let asked = months.len();
            let shared = &self.shared;
            // In this order: a purge that is not pending here was written to the files before the read, or begins after it.
            let (purges, later) = {
                let queue = shared.queue.lock();
                (queue.purges(), queue.later)
            };
            let open = shared.generations();
            let Some(open) = open.filter(|_| !shared.slow.load(Ordering::Relaxed)) else {
                telemetry::read(Outcome::Skipped, asked);
                return vec![Page::default(); asked];
            };
            let pieces = months.chunks(PIECE).map(|piece| {
                let (shared, open) = (Arc::clone(shared), open.clone());
                let piece = piece.to_vec();
                spawn_blocking(move || {
                    let kept = shared.read(&open, &piece);
                    shared.slow.store(false, Ordering::Relaxed);
                    kept
                })
            });
            let Ok(pieces) = timeout(shared.pace.read, join_all(pieces)).await else {
                // No further threads join those that hang; the next read that returns ends this state.
                shared.slow.store(true, Ordering::Relaxed);
                telemetry::read(Outcome::Timeout, asked);
                tracing::warn!(
                    "the cache on disk did not answer in time: Pitaya does not read it for now"
                );
                return vec![Page::default(); asked];
            };
            let mut kept = Vec::with_capacity(asked);
            for piece in pieces {
                match piece {
                    Ok(piece) => kept.extend(piece),
                    Err(error) => tracing::error!(%error, "a read of the cache on disk failed"),
                }
            }
            kept.resize(asked, Page::default());
            for ((month, _), kept) in months.iter().zip(&mut kept) {
                let hidden = purges.iter().map(|purge| purge.days_of(month));
                let hidden = hidden.chain(later.map(|later| kept.later_than(later)));
                let hidden = hidden.fold(0, |hidden, days| hidden | days);
                if hidden & kept.days() != 0 {
                    *kept = kept.without(hidden).0;
                }
            }
            telemetry::took("read", began.elapsed());
            kept
        })
    }

    fn put(&self, landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32) {
        let refused = self.shared.queue.lock().put(landed, held);
        match refused {
            Ok(()) => {
                self.shared.wake.notify_one();
            }
            Err(landed) => telemetry::put(Put::Dropped, landed.shapes.len()),
        }
    }

    fn begin_purge(&self, purge: Purge) -> Arc<Purge> {
        self.shared.queue.lock().begin_purge(purge)
    }

    fn finish_purge(&self, purge: Arc<Purge>) -> BoxFuture<'static, Result<(), Away>> {
        let (tell, told) = oneshot::channel();
        self.shared.queue.lock().finish_purge(purge, tell);
        self.shared.wake.notify_one();
        let patience = self.shared.pace.purge;
        async move {
            let told = timeout(patience, told).await;
            told.map_or(Err(Away), |told| told.unwrap_or(Err(Away)))
        }
        .boxed()
    }

    fn forget_later_than(&self, time: Timestamp) {
        self.shared.queue.lock().forget_later_than(time);
        self.shared.wake.notify_one();
    }

    fn state(&self) -> TierState {
        self.shared.state()
    }

    fn measure(&self) {
        let bytes = self.shared.generations().map_or(0, |open| open.bytes());
        telemetry::measure_disk(self.state(), bytes, self.shared.queue.lock().bytes);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.end();
            let thread = self.thread.lock().take();
            if let Some(thread) = thread {
                // A panic of the thread has been logged.
                spawn_blocking(move || thread.join()).await.ok();
            }
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.end();
    }
}
