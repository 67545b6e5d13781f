//! The common state of all tasks of the shared tier: names, leases, and facts about the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::lease::Leases;
use super::register::Register;
use super::scripts::Scripts;
use crate::clock::Clock;
use crate::domain::month::SeriesMonth;
use crate::store::{Cmd, Link, Script, Unavailable, cmd};
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
    pub(super) scripts: Scripts,
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
    pub(super) fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock()
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock()
    }

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
        let namespace = self.codec.namespace();
        format!("{}:{{fleet.{namespace}}}:{what}", self.settings.prefix)
    }

    pub(super) fn lease_millis(&self) -> u64 {
        u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX)
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
        let ended = self.leases().end(lease.id, months, self.settings.lease);
        if ended.is_empty() {
            return;
        }
        let core = Arc::clone(self);
        tokio::spawn(async move { core.end_leases(lease, &ended).await });
    }

    pub(super) async fn end_leases(&self, lease: Lease, ended: &[(SeriesMonth, u32)]) {
        let released = self
            .on_leases(&self.scripts.release, lease.owner(), ended)
            .await;
        if !released {
            self.unreleased.store(true, Ordering::Relaxed);
        }
    }

    /// Ends once more what ended lately, where the store may not have learned of it: it was away, or another server has taken its place,
    /// which lacks the last writes. Otherwise the other replicas would wait until these leases run out.
    pub(super) async fn end_leases_again(&self) {
        self.unreleased.store(false, Ordering::Relaxed);
        let ended = self.leases().ended(self.settings.lease);
        for (id, months) in ended {
            self.end_leases(Lease { id, epoch: None }, &months).await;
            // The next pulse tries again.
            if self.unreleased.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    pub(super) async fn extend_leases(&self) {
        let held = self.leases().all();
        for (id, months) in held {
            let owner = Lease { id, epoch: None }.owner();
            // A lease that is not extended ends early: others then fetch the same.
            let _ = self.on_leases(&self.scripts.extend, owner, &months).await;
        }
    }

    /// Takes leave of the other replicas, so that none waits for this one.
    pub(super) async fn leave(&self) {
        let held = self.leases().all();
        for (id, months) in held {
            self.end_leases(Lease { id, epoch: None }, &months).await;
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
    pub(super) async fn on_leases(
        &self,
        script: &Script,
        owner: String,
        months: &[(SeriesMonth, u32)],
    ) -> bool {
        let of_site = |one: &(SeriesMonth, u32), next: &(SeriesMonth, u32)| {
            (one.0.customer, one.0.site) == (next.0.customer, next.0.site)
        };
        let mut has_worked = true;
        for months in months.chunk_by(of_site).flat_map(|site| site.chunks(PIECE)) {
            let keys: Vec<String> = months
                .iter()
                .map(|(month, _)| self.lease_key(month))
                .collect();
            let arguments = |command: &mut Cmd| {
                command.arg(&owner).arg(self.lease_millis());
                for (_, days) in months {
                    command.arg(*days);
                }
            };
            let limit = 2 * self.settings.timeout;
            let run = self.link.eval::<()>(script, &keys, arguments, limit).await;
            has_worked &= run.is_ok();
        }
        has_worked
    }
}
