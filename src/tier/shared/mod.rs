//! The tier that all replicas share, in a Valkey or a Redis.
//!
//! Each page is one string. A writer replaces it as a whole, unless another replica has replaced it since the writer read it. Before a
//! fetch, a replica leases the days of a month, by the store's own clock, so only one replica asks the vendor; the others look again until
//! the cells have come. A lost lease costs a fetch, never a result.
//!
//! The store numbers purges in a register. A cell carries the number of the last purge that its replica knew when it claimed the cell, and
//! a reader ignores a cell that a later purge covers. So one entry ends in-flight fetches everywhere. A purge is complete once every live
//! replica has reported that it has also forgotten the figures in its memory. If the register loses purges, the replicas that know them put
//! them back. Nobody uses cells of another register, from before the store was emptied.
//!
//! Replicas do not use pub/sub. A replica that misses a message there never learns of it, while every pulse hears all that is new in the
//! register.
//!
//! Replicas share the vendor's allowance as well. With every pulse, each tells how many places at the vendor it wants and holds, and for
//! how long the vendor has throttled it. In return it hears how many places the others leave to it, in proportion to what all of them want.
//!
//! Nothing here fails a query. Without the store, each replica fetches for itself, and keeps the places that it has, or at least an equal
//! part.

mod core;
mod knowledge;
mod lease;
mod look_up;
mod pulse;
mod put;
mod register;
mod scripts;
mod value;

#[cfg(test)]
mod tests;

pub use core::Settings;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use self::core::Core;
use self::register::{Register, SAME_TIME};
use super::{
    Allowance, Away, Claimed, Codec, Knowledge, Landed, Lease, News, Patience, Tier, TierState,
};
use crate::clock::Clock;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::domain::purge::Purge;
use crate::store::Link;
use crate::tier::telemetry;

/// Interval at which a replica hears the others and tells them its news.
const PULSE: Duration = Duration::from_millis(250);
/// The interval while somebody waits for a purge.
const HURRIED_PULSE: Duration = Duration::from_millis(40);
/// Number of pulses between checks of what was learned here, and of the store's settings.
const KNOWLEDGE: u32 = 4;
const POLICY: u32 = 240;
/// Calls in one look-up: it reads, claims, and reads again. A call for many pages may exceed the time limit a little, but the calls
/// together may not exceed three times the limit.
const CALLS: u32 = 3;
/// After this long without a replica's pulse, the others, if they reach the store, assume that it takes an equal part of the places.
const SILENCE: Duration = Duration::from_secs(5);
/// Time limit for the other replicas to forget figures.
const PURGE: Duration = Duration::from_secs(2);

/// Cells in a store that all replicas share.
pub struct Shared {
    core: Arc<Core>,
    tasks: [JoinHandle<()>; 2],
}

impl Shared {
    /// Opens the tier behind `link`, and spawns tasks that keep it in step with the other replicas.
    #[must_use]
    pub fn open(
        settings: Settings,
        codec: Codec,
        link: Link,
        knowledge: Arc<dyn Knowledge>,
        allowance: Arc<dyn Allowance>,
        clock: Clock,
    ) -> Self {
        let register = Register::new(Instant::now());
        let core = Arc::new(Core {
            register: Mutex::new(register),
            leases: Mutex::default(),
            replica: format!("{:016x}", rand::random::<u64>()),
            pulses: watch::Sender::default(),
            hurry: Arc::default(),
            news: Notify::new(),
            unreleased: AtomicBool::new(false),
            writing: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
            never_evicts: AtomicBool::new(false),
            settings,
            codec,
            link,
            clock,
            knowledge,
            allowance,
            exchange: tokio::sync::Mutex::default(),
        });
        let tasks = [
            tokio::spawn(keep_in_step(Arc::downgrade(&core))),
            tokio::spawn(extend_leases(Arc::downgrade(&core))),
        ];
        Self { core, tasks }
    }
}

async fn keep_in_step(core: Weak<Core>) {
    let (mut nth, mut missed): (u32, u32) = (0, 0);
    let mut heard = Instant::now();
    while let Some(core) = core.upgrade() {
        let began = Instant::now();
        let in_step = core.pulse().await;
        if let Ok(known) = in_step {
            if missed > 0 || core.unreleased.load(Ordering::Relaxed) {
                let core = Arc::clone(&core);
                tokio::spawn(async move { core.end_leases_again().await });
            }
            (missed, heard) = (0, began);
            core.exchange_knowledge(known, nth.is_multiple_of(KNOWLEDGE))
                .await;
            if nth.is_multiple_of(POLICY) {
                core.look_at_the_policy().await;
            }
            nth = nth.wrapping_add(1);
            core.pulses.send_modify(|pulses| pulses.succeeded += 1);
        } else {
            missed = missed.saturating_add(1);
            // A single lost pulse does not mean that the others cannot be heard; the next one shows.
            if missed > 1 || !core.link.is_connected() {
                let is_silent = heard.elapsed() >= SILENCE;
                core.allowance
                    .miss(core.register.lock().replicas(), is_silent);
            }
            core.pulses.send_modify(|pulses| pulses.failed += 1);
        }
        let pause = match missed {
            0 if core.register.lock().is_urgent() => HURRIED_PULSE,
            1 if core.link.is_connected() => HURRIED_PULSE,
            _ => PULSE,
        };
        let (hurry, allowance) = (Arc::clone(&core.hurry), Arc::clone(&core.allowance));
        drop(core);
        tokio::select! {
            () = sleep(pause) => {}
            () = hurry.notified() => {}
            () = allowance.until_urgent() => {}
        }
    }
}

async fn extend_leases(core: Weak<Core>) {
    loop {
        let Some(pause) = core.upgrade().map(|core| core.settings.lease / 3) else {
            return;
        };
        sleep(pause).await;
        let Some(core) = core.upgrade() else { return };
        core.extend_leases().await;
    }
}

impl Tier for Shared {
    fn patience(&self) -> Patience {
        Patience::new(CALLS * self.core.settings.timeout)
    }

    fn read<'a>(
        &'a self,
        months: Vec<(SeriesMonth, MonthShape)>,
        patience: &'a mut Patience,
    ) -> BoxFuture<'a, Vec<Page>> {
        Box::pin(self.core.read(months, patience))
    }

    fn claim<'a>(
        &'a self,
        wanted: Vec<(SeriesMonth, u32)>,
        patience: &'a mut Patience,
    ) -> BoxFuture<'a, Claimed> {
        Box::pin(self.core.claim(wanted, patience))
    }

    fn release(&self, lease: Lease, months: Vec<(SeriesMonth, u32)>) {
        self.core.release(lease, &months);
    }

    fn put(&self, landed: Landed, held: &dyn Fn(&SeriesMonth) -> u32) {
        self.core.put(landed, held);
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn begin_purge(&self, purge: Purge) -> Arc<Purge> {
        let purge = Arc::new(purge);
        self.core.register.lock().begin(Arc::clone(&purge));
        purge
    }

    fn finish_purge(&self, purge: Arc<Purge>) -> BoxFuture<'static, Result<(), Away>> {
        let core = Arc::clone(&self.core);
        core.register.lock().finish(&purge);
        core.hurry.notify_one();
        Box::pin(async move {
            let settles_in = core.register.lock().settles_in();
            let until = Instant::now() + settles_in + PURGE;
            let mut pulses = core.pulses.subscribe();
            let failed = pulses.borrow().failed;
            while core.register.lock().is_pending(&purge) {
                // Do not wait for a store that is known to be away.
                if !core.link.is_connected() || pulses.borrow().failed != failed {
                    return Err(Away);
                }
                let next = timeout_at(until, pulses.changed()).await;
                if !next.is_ok_and(|next| next.is_ok()) {
                    return Err(Away);
                }
            }
            Ok(())
        })
    }

    fn news(&self) -> BoxFuture<'_, Vec<News>> {
        Box::pin(async move {
            loop {
                let news = self.core.news.notified();
                let (before, purges, after) = {
                    let mut register = self.core.register.lock();
                    let before = register.numbers().1;
                    let purges = register.news();
                    (before, purges, register.numbers().1)
                };
                if before != after {
                    self.core.hurry.notify_one();
                }
                if let Some(purges) = purges {
                    return purges;
                }
                news.await;
            }
        })
    }

    fn forget_later_than(&self, _: Timestamp) {
        // Times in the store are those of its own clock. The next pulse shows how far ours is from it.
        self.core.hurry.notify_one();
    }

    fn state(&self) -> TierState {
        let core = &self.core;
        if !core.link.is_connected() || core.pulses.borrow().succeeded == 0 {
            TierState::Away
        } else if core.refuses.load(Ordering::Relaxed) {
            TierState::RefusingWrites
        } else if core.never_evicts.load(Ordering::Relaxed) {
            TierState::EvictionPolicy
        } else if core.register.lock().offset().abs() > SAME_TIME {
            TierState::Clock
        } else {
            TierState::Connected
        }
    }

    fn measure(&self) {
        let queued = self.core.writing.load(Ordering::Relaxed);
        let state = self.state();
        let register = self.core.register.lock();
        telemetry::measure_shared(state, queued, register.replicas(), register.offset());
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let core = &self.core;
            while core.writing.load(Ordering::Acquire) > 0 && core.link.is_connected() {
                sleep(Duration::from_millis(5)).await;
            }
            for task in &self.tasks {
                task.abort();
            }
            core.leave().await;
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.core.settings)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
