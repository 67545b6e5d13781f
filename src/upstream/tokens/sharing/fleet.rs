//! One replica's knowledge of the shared tokens, and its next steps: decisions only, without a store, a vendor or a clock.

use std::time::Duration;

use tokio::time::Instant;

use super::record::{Phase, Record, Tokens};

/// Interval at which a replica records that it still waits for the vendor's answer.
pub(super) const BEAT: Duration = Duration::from_secs(3);
/// A replica that is using a token and has recorded nothing for this long is presumed dead.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// After this long, no answer of the vendor can still be on its way to a silent replica: an exchange listens for a minute, and is retried
/// only after quick failures.
pub(super) const CERTAIN_SILENCE: Duration = Duration::from_mins(2);
/// How long the store may be away, at the start or later, before calls fail because of it.
pub(super) const BLINK: Duration = Duration::from_secs(3);
/// How long the store must have been away before the one replica that may renew alone does so: others may still reach the store.
pub(super) const AWAY_FOR_ALONE: Duration = Duration::from_secs(10);

/// One replica's view.
#[derive(Debug)]
pub(super) struct Fleet {
    owner: u64,
    /// Whether this replica renews even if it cannot agree with the others.
    renew_alone: bool,
    newest: Record,
    /// When this replica first saw the newest record.
    since: Instant,
    /// Whether this replica has marked the newest refresh token as in use and sent it, without having recorded the outcome yet.
    asking: bool,
    /// When this replica last recorded that it is using the token.
    beat: Instant,
    /// Serial of the newest tokens that this replica uses.
    adopted: u64,
    /// When the store last answered, or the start.
    contact: Instant,
    /// The highest rank that the store is known to have had.
    kept: (u64, u64),
}

/// Why a replica may not renew now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Denied {
    /// Another replica is renewing.
    Busy,
    /// A replica's attempt has failed, and the pause after it is not over.
    Paused { refused: bool },
    /// A replica disappeared while it was using the refresh token, so the token may be dead.
    InDoubt,
    /// The store may have lost writes a moment ago; others may have to put back newer tokens first.
    Quarantine,
    /// The store has been away for too short a time to judge.
    Away,
    /// The store is away, and the vendor rotates refresh tokens, or may.
    Alone,
}

impl Denied {
    /// The reason's name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Paused { .. } => "paused",
            Self::InDoubt => "in_doubt",
            Self::Quarantine => "quarantine",
            Self::Away => "away",
            Self::Alone => "alone",
        }
    }
}

impl Fleet {
    /// The view of the replica `owner` at its start, with the tokens of `record`.
    pub(super) fn new(owner: u64, renew_alone: bool, record: Record, now: Instant) -> Self {
        Self {
            owner,
            renew_alone,
            adopted: record.serial,
            newest: record,
            since: now,
            asking: false,
            beat: now,
            contact: now,
            kept: Record::FIRST.rank(),
        }
    }

    /// The newest record.
    pub(super) const fn newest(&self) -> &Record {
        &self.newest
    }

    /// Whether the store has held the newest record: if it is behind now, it has lost that record.
    pub(super) fn was_kept(&self) -> bool {
        self.kept >= self.newest.rank()
    }

    /// Whether this replica never renews without the consent of the store.
    pub(super) fn needs_the_store(&self) -> bool {
        !self.renew_alone && self.newest.rotates != Some(false)
    }

    /// Whether the vendor is known to rotate refresh tokens.
    pub(super) fn rotates(&self) -> bool {
        self.newest.rotates == Some(true)
    }

    /// The newest record, if this replica does not use its tokens yet.
    pub(super) fn to_adopt(&self) -> Option<&Record> {
        (self.newest.serial > self.adopted).then_some(&self.newest)
    }

    /// Records that this replica uses the tokens of `serial`.
    pub(super) fn adopted(&mut self, serial: u64) {
        self.adopted = self.adopted.max(serial);
    }

    /// Learns the store's record. Returns whether the store is behind, so that this replica must put its newer record back.
    pub(super) fn learn(&mut self, stored: Option<Record>, now: Instant) -> bool {
        self.contact = now;
        let rank = self.newest.rank();
        if let Some(stored) = &stored {
            self.kept = self.kept.max(stored.rank());
        }
        match stored {
            Some(stored) if stored.rank() >= rank => {
                // Two records can have the same rank only after a double fault. Then all replicas use the store's.
                if stored.rank() > rank || stored.phase != self.newest.phase {
                    self.newest = stored;
                    self.since = now;
                }
                false
            }
            _ => rank > Record::FIRST.rank(),
        }
    }

    /// Records that the store has accepted `record` from this replica.
    pub(super) fn wrote(&mut self, record: Record, now: Instant) {
        self.contact = now;
        self.beat = now;
        self.kept = self.kept.max(record.rank());
        if record.rank() > self.newest.rank() {
            self.newest = record;
            self.since = now;
        }
    }

    /// The record that this replica must write although the store has the newest. It says that this replica still uses the token or, unless
    /// it is `renewing`, that it does not use it after all.
    pub(super) fn upkeep(&self, renewing: bool, now: Instant) -> Option<Record> {
        let mine = self.newest.phase == Phase::Spending(self.owner);
        if mine && self.asking && now >= self.beat + BEAT {
            Some(self.newest.then(1, self.newest.phase))
        } else if mine && !self.asking && !renewing {
            Some(self.newest.then(1, Phase::Free))
        } else {
            None
        }
    }

    /// The record that marks the newest refresh token as in use by this replica. The store must accept it before the replica calls the
    /// vendor.
    ///
    /// # Errors
    ///
    /// The reason not to renew.
    pub(super) fn claim(&self, now: Instant) -> Result<Record, Denied> {
        self.is_free(now)?;
        Ok(self.newest.then(1, Phase::Spending(self.owner)))
    }

    /// Decides, while the store is away, whether this replica calls the vendor without the store's consent.
    ///
    /// # Errors
    ///
    /// The reason not to.
    pub(super) fn claim_alone(&self, now: Instant) -> Result<(), Denied> {
        let away = now.duration_since(self.contact);
        match self.newest.rotates {
            // Every replica may use such a token as often as it likes; at worst, there is one renewal too many.
            Some(false) => Ok(()),
            _ if away < BLINK => Err(Denied::Away),
            // This also holds if it is unknown whether the vendor rotates: a replica that starts without tokens does not know what others have done.
            _ if !self.renew_alone => Err(Denied::Alone),
            _ if away < AWAY_FOR_ALONE => Err(Denied::Away),
            _ => self.is_free(now),
        }
    }

    /// Checks whether the newest refresh token may be used.
    ///
    /// # Errors
    ///
    /// The reason not to.
    pub(super) fn is_free(&self, now: Instant) -> Result<(), Denied> {
        let silence = now.duration_since(self.since);
        match self.newest.phase {
            Phase::Failed { pause_ms, refused } if silence < Duration::from_millis(pause_ms) => {
                Err(Denied::Paused { refused })
            }
            Phase::Free | Phase::Failed { .. } => Ok(()),
            Phase::Spending(owner) if owner == self.owner && !self.asking => Ok(()),
            Phase::Spending(_) if silence < SILENCE => Err(Denied::Busy),
            Phase::Spending(_) if !self.rotates() => Ok(()),
            Phase::Spending(_) if self.renew_alone && silence >= CERTAIN_SILENCE => Ok(()),
            Phase::Spending(_) => Err(Denied::InDoubt),
        }
    }

    /// Records that this replica is sending the newest refresh token to the vendor.
    pub(super) fn asks(&mut self, now: Instant) {
        self.asking = true;
        self.beat = now;
    }

    /// Records that the vendor has renewed the tokens for this replica, which uses them from now on.
    pub(super) fn renewed(&mut self, tokens: Tokens, rotated: bool, now: Instant) {
        self.asking = false;
        self.newest = Record {
            serial: self.newest.serial + 1,
            step: 0,
            phase: Phase::Free,
            rotates: Some(rotated || self.rotates()),
            tokens: Some(tokens),
        };
        self.adopted = self.newest.serial;
        self.since = now;
    }

    /// Records that the vendor has not renewed the tokens for this replica.
    pub(super) fn failed(&mut self, pause: Duration, refused: bool, now: Instant) {
        self.asking = false;
        if self.newest.phase != Phase::Spending(self.owner) {
            return;
        }
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        // Two steps ahead, since a beat, one step ahead, may be on its way to the store.
        self.newest = self.newest.then(2, Phase::Failed { pause_ms, refused });
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
