//! State shared by readers and the writing thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::fault::Fault;
use super::folder::Generations;
use super::queue::{Job, Queue};
use crate::clock::Clock;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::tier::TierState;
use crate::tier::codec::{Codec, Decoded};
use crate::tier::telemetry::{self, Outcome};

/// Settings of the tier on disk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder. If it is missing, Pitaya makes it with its parents.
    pub path: PathBuf,
    /// Maximum number of bytes of all files together.
    pub max_bytes: u64,
}

/// Pauses and time limits; tests use shorter ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Interval between commits of cells.
    pub(super) commit: Duration,
    /// First and longest pause before another attempt to open a failed folder. A locked folder always gets the first.
    pub(super) retry: (Duration, Duration),
    /// Time limit of a read.
    pub(super) read: Duration,
    /// Time limit of a purge.
    pub(super) purge: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            commit: Duration::from_secs(1),
            retry: (Duration::from_secs(1), Duration::from_mins(1)),
            read: Duration::from_secs(1),
            purge: Duration::from_secs(10),
        }
    }
}

/// State shared by readers and the writing thread.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) codec: Codec,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Condvar,
    open: Mutex<(Option<Generations>, TierState)>,
    /// Whether the last read exceeded its limit.
    pub(super) slow: AtomicBool,
}

impl Shared {
    /// The state before the folder is open.
    pub(super) fn new(settings: Settings, codec: Codec, clock: Clock, pace: Pace) -> Self {
        Self {
            settings,
            codec,
            clock,
            pace,
            queue: Mutex::default(),
            wake: Condvar::new(),
            open: Mutex::new((None, TierState::Away)),
            slow: AtomicBool::new(false),
        }
    }

    /// The open generations, if any.
    pub(super) fn generations(&self) -> Option<Generations> {
        self.open.lock().0.clone()
    }

    pub(super) fn show(&self, open: Option<Generations>, state: TierState) {
        // Closing the files before may take long on a failing disk, so it must not happen under the lock.
        let before = std::mem::replace(&mut *self.open.lock(), (open, state));
        drop(before);
    }

    pub(super) fn state(&self) -> TierState {
        match self.open.lock().1 {
            TierState::Open if self.slow.load(Ordering::Relaxed) => TierState::Slow,
            state => state,
        }
    }

    pub(super) fn end(&self) {
        self.queue.lock().closing = true;
        self.wake.notify_one();
    }

    /// The kept cells of these months, in the young generation or otherwise the old one.
    pub(super) fn read(
        &self,
        open: &Generations,
        months: &[(SeriesMonth, MonthShape)],
    ) -> Vec<Page> {
        let names: Vec<String> = months
            .iter()
            .map(|(month, _)| self.codec.page_name(month))
            .collect();
        let mut pages: Vec<Option<Page>> = vec![None; names.len()];
        let (mut promoted, mut told) = (Vec::new(), telemetry::Pages::default());
        for generation in open.all().rev() {
            let found = generation.find(&names, &mut pages, |nth, page| {
                let (month, shape) = &months[nth];
                let (outcome, kept) = match self.codec.decode(month, &names[nth], *shape, page) {
                    Decoded::Page(kept) => (Outcome::Hit, kept),
                    Decoded::OtherShape => (Outcome::Shape, Page::default()),
                    Decoded::Corrupt => (Outcome::Corrupt, Page::default()),
                };
                told.add(outcome, page.len());
                kept
            });
            match found {
                Ok(_) if Arc::ptr_eq(generation, &open.young) => {}
                Ok(found) => promoted.extend(found.into_iter().map(|nth| names[nth].clone())),
                Err(Fault::Broken { why, .. }) => {
                    let broken = Job::Broken(Arc::clone(generation), why);
                    self.queue.lock().note(broken);
                    self.wake.notify_one();
                }
                Err(fault) => tracing::warn!(%fault, "cannot read the cache on disk"),
            }
        }
        if !promoted.is_empty() {
            self.queue.lock().note(Job::Promote(promoted));
            self.wake.notify_one();
        }
        let misses = pages.iter().filter(|page| page.is_none());
        misses.for_each(|_| told.add(Outcome::Miss, 0));
        pages.into_iter().map(Option::unwrap_or_default).collect()
    }
}
