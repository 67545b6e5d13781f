//! State shared by all connections of one simulator.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::active_faults::ActiveFaults;
use super::hash::hash;
use super::ledger::Ledger;
use super::pause::Pause;
use super::quirks::Quirks;
use super::settings::Settings;
use super::tokens::TokenBook;
use super::view::{Revision, View};
use crate::clock::Clock;

/// State shared by all connections of one simulator.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Arc<Settings>,
    clock: Clock,
    pub(super) quirks: RwLock<Quirks>,
    pub(super) revisions: RwLock<Vec<Revision>>,
    pub(super) tokens: Mutex<TokenBook>,
    pub(super) faults: Mutex<ActiveFaults>,
    pub(super) ledger: Ledger,
    pub(super) reports_gate: Pause,
    pub(super) tokens_gate: Pause,
}

impl World {
    /// A world whose tokens differ from those of any other; `port` and the time distinguish them.
    pub(super) fn new(settings: Settings, clock: Clock, port: u16) -> Self {
        let now = clock.now();
        let started = now.as_microsecond().unsigned_abs();
        let seed = hash(&[started, u64::from(port), u64::from(std::process::id())]);
        let mut faults = ActiveFaults::default();
        faults.faults.clone_from(&settings.faults);
        Self {
            clock,
            quirks: RwLock::new(settings.quirks.clone()),
            revisions: RwLock::default(),
            tokens: Mutex::new(TokenBook::new(settings.tokens.clone(), seed, now)),
            faults: Mutex::new(faults),
            ledger: Ledger::default(),
            reports_gate: Pause::default(),
            tokens_gate: Pause::default(),
            settings: Arc::new(settings),
        }
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// The current world.
    pub(super) fn view(&self) -> View {
        View {
            settings: Arc::clone(&self.settings),
            quirks: self.quirks.read().clone(),
            revisions: self.revisions.read().clone(),
            now: self.now(),
        }
    }
}
