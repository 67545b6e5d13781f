//! The common state of all tasks of the shared tier: names, leases, and facts about the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::lease::{Leases, owner};
use super::register::Register;
use super::scripts::{EXTEND, RELEASE};
use crate::clock::Clock;
use crate::domain::month::SeriesMonth;
use crate::store::{Cmd, FromRedisValue, Link, Script, Unavailable, cmd};
use crate::tier::{Allowance, Codec, Knowledge, Lease};

/// Maximum number of keys in one command.
pub(super) const PIECE: usize = 300;

/// Configuration of the shared tier.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Prefix of every name in the store.
    pub prefix: String,
    /// Time limit of a call for a few pages.
    pub timeout: Duration,
    /// Duration of a lease, and so the time for which a dead replica delays the others.
    pub lease: Duration,
    /// Time for which a page is kept after its last change.
    pub keep: Duration,
}

/// Number of pulses so far.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

/// The learned facts that this replica has exchanged with the others so far.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// The revision of each part that this replica has told.
    pub(super) told: HashMap<String, u64>,
    /// The revision of the whole that this replica has last heard.
    pub(super) heard: Option<u64>,
}

/// The state that the tasks share.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) codec: Codec,
    pub(super) link: Link,
    pub(super) clock: Clock,
    pub(super) knowledge: Arc<dyn Knowledge>,
    pub(super) allowance: Arc<dyn Allowance>,
    pub(super) exchange: tokio::sync::Mutex<Exchange>,
    /// Distinguishes this process from other replicas.
    pub(super) replica: String,
    pub(super) register: Mutex<Register>,
    pub(super) leases: Mutex<Leases>,
    pub(super) pulses: watch::Sender<Pulses>,
    /// Notified when the next pulse should begin at once.
    pub(super) hurry: Arc<Notify>,
    /// Notified when the owner has purges to make.
    pub(super) news: Notify,
    /// Whether the store may not have learned of the end of a lease.
    pub(super) unreleased: AtomicBool,
    /// Bytes of the pages being written.
    pub(super) writing: AtomicUsize,
    /// Whether the last write was refused.
    pub(super) refuses: AtomicBool,
    /// Whether the store fills up, or evicts more than pages.
    pub(super) never_evicts: AtomicBool,
}

impl Core {
    /// The name of the page of `month`. All names of a site are in one slot of a cluster.
    pub(super) fn key(&self, month: &SeriesMonth) -> String {
        let name = self.codec.page_name(month);
        let (site, rest) = name.split_once(':').expect("a page is named by its site");
        format!("{}:{{{site}}}:{rest}", self.settings.prefix)
    }

    pub(super) fn lease_key(&self, month: &SeriesMonth) -> String {
        self.key(month) + ":l"
    }

    /// The name of data of the whole fleet. All such names are in one slot of a cluster.
    pub(super) fn fleet_key(&self, what: &str) -> String {
        let namespace = &self.codec.namespace;
        format!("{}:{{fleet.{namespace}}}:{what}", self.settings.prefix)
    }

    /// Notes whether the store accepts writes.
    pub(super) fn note(&self, error: Option<&Unavailable>) {
        match error {
            None => self.refuses.store(false, Ordering::Relaxed),
            Some(Unavailable::Refused(code)) => {
                if !self.refuses.swap(true, Ordering::Relaxed) {
                    tracing::warn!(code, "the shared store refuses writes");
                }
            }
            Some(_) => {}
        }
    }

    /// Ends leases in the background.
    pub(super) fn release(self: &Arc<Self>, lease: Lease, months: &[(SeriesMonth, u32)]) {
        let ended = self
            .leases
            .lock()
            .end(lease.id, months, self.settings.lease);
        if ended.is_empty() {
            return;
        }
        let core = Arc::clone(self);
        tokio::spawn(async move { core.end_leases(lease.id, &ended).await });
    }

    pub(super) async fn end_leases(&self, lease: u64, ended: &[(SeriesMonth, u32)]) {
        if !self.on_leases(&RELEASE, lease, ended).await {
            self.unreleased.store(true, Ordering::Relaxed);
        }
    }

    /// Ends once more what ended lately, where the store may not have learned of it: it was away, or another server has taken its place,
    /// which lacks the last writes. Otherwise the other replicas would wait until these leases run out.
    pub(super) async fn end_leases_again(&self) {
        self.unreleased.store(false, Ordering::Relaxed);
        let ended = self.leases.lock().ended(self.settings.lease);
        for (lease, months) in ended {
            self.end_leases(lease, &months).await;
            // The next pulse tries again.
            if self.unreleased.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    pub(super) async fn extend_leases(&self) {
        let held = self.leases.lock().all();
        for (lease, months) in held {
            // A lease that is not extended ends early: others then fetch the same.
            let _ = self.on_leases(&EXTEND, lease, &months).await;
        }
    }

    /// Takes leave of the other replicas, so that none waits for this one.
    pub(super) async fn leave(&self) {
        let held = self.leases.lock().all();
        for (lease, months) in held {
            self.end_leases(lease, &months).await;
        }
        // Otherwise this replica counts as alive for a minute, during which no purge completes everywhere, and keeps its places for
        // seconds.
        for what in ["live", "places"] {
            let mut leave = cmd("HDEL");
            leave.arg(self.fleet_key(what)).arg(&self.replica);
            let limit = 2 * self.settings.timeout;
            let _ = self.link.query::<()>(&leave, limit).await;
        }
    }

    /// Runs a script on the leases of months, one site at a time, and returns whether the store has run all of it.
    async fn on_leases(&self, script: &Script, lease: u64, months: &[(SeriesMonth, u32)]) -> bool {
        let of_site = |one: &(SeriesMonth, u32), next: &(SeriesMonth, u32)| {
            (one.0.customer, one.0.site) == (next.0.customer, next.0.site)
        };
        let limit = 2 * self.settings.timeout;
        let mut has_worked = true;
        for months in months.chunk_by(of_site).flat_map(|site| site.chunks(PIECE)) {
            let run = self.on_leases_of_site::<()>(script, lease, months, limit);
            has_worked &= run.await.is_ok();
        }
        has_worked
    }

    /// The result of a script on the leases of months of one site.
    pub(super) async fn on_leases_of_site<T: FromRedisValue>(
        &self,
        script: &Script,
        lease: u64,
        months: &[(SeriesMonth, u32)],
        limit: Duration,
    ) -> Result<T, Unavailable> {
        let keys = months.iter().map(|(month, _)| self.lease_key(month));
        let keys: Vec<String> = keys.collect();
        let arguments = |command: &mut Cmd| {
            command
                .arg(owner(lease))
                .arg(self.settings.lease.as_millis());
            for (_, days) in months {
                command.arg(*days);
            }
        };
        self.link.eval(script, &keys, arguments, limit).await
    }
}
