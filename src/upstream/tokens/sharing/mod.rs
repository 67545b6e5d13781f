//! Tokens shared by replicas: one record in a shared store that may lose it.
//!
//! The record (`record`) has a rank that only grows: the number of renewals, then the number of steps since. Before a replica calls the
//! vendor, it replaces the record by one that says so, and the store lets only one replica do that. So no two replicas use the same refresh
//! token. There is no lock, since a store that came back without it would let another replica in. The table shows what each replica does
//! when something happens to the store or to a replica (`fleet` decides, without I/O):
//!
//! | happens | each replica |
//! |---|---|
//! | the store was emptied, set back, or failed over | puts back the newest record that it knows, even one that says that a token is in use |
//! | | does not renew for [`QUARANTINE`], so that others can put back theirs; the store's own clock and identity show when that is over (`TokenRegister`) |
//! | the store is away, or refuses writes | renews at half life, so it has the other half to wait for the store |
//! | | then calls the vendor alone if the vendor is known not to rotate, or if `renew_alone` is set |
//! | a replica dies while it uses a token | uses the token itself after a silence, if no renewal has shown yet that the vendor rotates |
//! | | otherwise leaves the token alone, since it may be dead, until the dead replica returns with its `token_store` or the operator decides |
//! | clocks differ | counts a token's age by the store's clock |
//! | something else writes to the store | treats a value that it cannot decrypt as missing, and puts back the newest record |

mod fleet;
mod record;

#[cfg(test)]
pub(in crate::upstream) mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

pub(super) use self::fleet::Denied;
use self::fleet::Fleet;
use self::record::{Record, Seal};
use super::answer::Fresh;
use super::store::{SharedSerial, Stored, expiry, fingerprint};
use crate::upstream::status::TokenSharingState;
use crate::upstream::telemetry;
use crate::upstream::token_register::{Away, Seen, Swapped, TokenRegister, TokenSharing};

/// How long replicas do not renew after the store may have lost writes, so that all can reconnect and put back what was lost.
const QUARANTINE: Duration = Duration::from_secs(3);
/// Interval at which a replica reads the shared store.
pub(super) const PULSE: Duration = Duration::from_millis(250);
/// Number of attempts to write while other replicas are faster.
const ROUNDS: usize = 4;

/// This replica's part in sharing the tokens.
#[derive(Debug)]
pub(super) struct Sharing {
    register: Arc<dyn TokenRegister>,
    seal: Seal,
    fleet: Mutex<Fleet>,
    view: Mutex<View>,
}

/// The answer to a claim of the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The store has recorded that this replica uses the refresh token, or this replica may call the vendor without the store.
    Ask,
    /// There are newer tokens to adopt, so no call is needed.
    Newer,
}

/// The result of the last contact with the store.
#[derive(Debug, Default)]
struct View {
    away: bool,
    /// Whether the store's life is short, so it may lack records of others.
    young: bool,
    /// Whether the store lacks the newest record.
    behind: bool,
    /// The store's time of day in milliseconds, and our instant at that time.
    clock: Option<(i64, Instant)>,
    denied: Option<Denied>,
    /// The value that the store held, and the record in it.
    opened: Option<(Vec<u8>, Option<Record>)>,
}

impl Sharing {
    /// Starts with the tokens of `stored`, which descend from the configured refresh token, or with that token alone.
    pub(super) fn new(
        settings: &TokenSharing,
        configured: &SecretString,
        stored: Option<&Stored>,
    ) -> Self {
        let record = stored.map_or(Record::FIRST, |stored| {
            let lifetime = stored.expires_at.duration_since(stored.obtained_at);
            let rotated = stored.refresh.expose_secret() != configured.expose_secret();
            let serial = stored.shared.unwrap_or(SharedSerial {
                // The file is from before the tokens were shared, so it has the newest tokens of this lineage.
                serial: stored.serial.max(1),
                rotates: rotated.then_some(true),
            });
            Record {
                serial: serial.serial,
                rotates: serial.rotates,
                tokens: Some(record::Tokens {
                    refresh: stored.refresh.clone(),
                    id: stored.has_id().then(|| stored.id.clone()),
                    received_ms: stored.obtained_at.as_millisecond(),
                    lifetime: Duration::try_from(lifetime).unwrap_or_default(),
                }),
                ..Record::FIRST
            }
        });
        let owner = rand::random();
        let fleet = Fleet::new(owner, settings.renew_alone, record, Instant::now());
        Self {
            register: Arc::clone(&settings.register),
            seal: Seal::new(configured),
            fleet: Mutex::new(fleet),
            view: Mutex::default(),
        }
    }

    /// Reads the store: learns a newer record, puts back a lost one, and records that this replica still waits for the vendor. `renewing`:
    /// whether a renewal is in progress here.
    pub(super) async fn pulse(&self, renewing: bool) {
        // `view` records that the store is away, and the next pulse tries again.
        let _ = self.agree(renewing).await;
    }

    async fn agree(&self, renewing: bool) -> Result<Seen, Away> {
        let agreed = self.try_to_agree(renewing).await;
        if agreed.is_err() {
            self.view.lock().away = true;
        }
        agreed
    }

    async fn try_to_agree(&self, renewing: bool) -> Result<Seen, Away> {
        let mut seen = self.register.look(self.seal.name()).await?;
        for _ in 0..ROUNDS {
            let stored = self.open(&seen);
            let now = Instant::now();
            let (behind, lost, record) = {
                let mut fleet = self.fleet.lock();
                let behind = fleet.learn(stored, now);
                let record = if behind {
                    Some(fleet.newest().clone())
                } else {
                    fleet.upkeep(renewing, now)
                };
                (behind, behind && fleet.was_kept(), record)
            };
            self.saw(&seen, behind);
            let Some(record) = record else {
                return Ok(seen);
            };
            let swapped = self.write(&seen, &record, Duration::ZERO).await?;
            if swapped.done && lost {
                tracing::warn!(
                    "the shared store had lost the newest tokens: Pitaya has put them back"
                );
                telemetry::tokens_put_back();
            }
            let done = swapped.done;
            seen = swapped.seen;
            if done {
                self.saw(&seen, false);
                return Ok(seen);
            }
        }
        // Others keep writing, which soon ends.
        Err(Away)
    }

    /// Decrypts the store's value. A value that does not decrypt counts as missing, so the next record replaces it.
    fn open(&self, seen: &Seen) -> Option<Record> {
        let value = seen.value.as_deref()?;
        if let Some((before, record)) = &self.view.lock().opened
            && before == value
        {
            return record.clone();
        }
        let record = self.seal.open(value);
        self.view.lock().opened = Some((value.to_owned(), record.clone()));
        if record.is_none() {
            tracing::warn!(
                "the shared store holds something undecryptable in the place of the tokens"
            );
            telemetry::tokens_unreadable();
        }
        record
    }

    async fn write(
        &self,
        seen: &Seen,
        record: &Record,
        min_life: Duration,
    ) -> Result<Swapped, Away> {
        let sealed = self.seal.close(record);
        let expected = seen.value.as_deref();
        let swapped = self
            .register
            .swap(self.seal.name(), expected, &sealed, min_life)
            .await?;
        if swapped.done {
            self.fleet.lock().wrote(record.clone(), Instant::now());
        }
        Ok(swapped)
    }

    fn saw(&self, seen: &Seen, behind: bool) {
        let mut view = self.view.lock();
        view.away = false;
        view.young = seen.life < QUARANTINE;
        view.behind = behind;
        view.clock = Some((seen.now_ms, Instant::now()));
    }

    /// Claims the newest refresh token for this replica. `pressing`: without new tokens, calls to the vendor will soon fail.
    ///
    /// # Errors
    ///
    /// The reason not to renew now.
    pub(super) async fn claim(&self, pressing: bool) -> Result<Claimed, Denied> {
        let claimed = self.try_to_claim(pressing).await;
        let denied = claimed.err();
        let before = std::mem::replace(&mut self.view.lock().denied, denied);
        if let Some(denied) = denied.filter(|_| denied != before) {
            telemetry::renewal_denied(denied.name());
        }
        if claimed == Ok(Claimed::Ask) {
            self.fleet.lock().asks(Instant::now());
        }
        claimed
    }

    async fn try_to_claim(&self, pressing: bool) -> Result<Claimed, Denied> {
        for _ in 0..ROUNDS {
            let Ok(seen) = self.agree(true).await else {
                return self.claim_alone(pressing);
            };
            let (mark, min_life) = {
                let fleet = self.fleet.lock();
                if fleet.to_adopt().is_some() {
                    return Ok(Claimed::Newer);
                }
                let harmless = fleet.newest().rotates == Some(false);
                let min_life = if harmless { Duration::ZERO } else { QUARANTINE };
                (fleet.claim(Instant::now())?, min_life)
            };
            if seen.life < min_life {
                return Err(Denied::Quarantine);
            }
            match self.write(&seen, &mark, min_life).await {
                Ok(swapped) if swapped.done => return Ok(Claimed::Ask),
                Ok(_) => {}
                Err(Away) => return self.claim_alone(pressing),
            }
        }
        Err(Denied::Busy)
    }

    fn claim_alone(&self, pressing: bool) -> Result<Claimed, Denied> {
        let decided = self.fleet.lock().claim_alone(Instant::now());
        if decided.is_ok() && !pressing {
            return Err(Denied::Away);
        }
        decided.map(|()| {
            tracing::warn!("cannot reach the shared store: this replica renews the tokens alone");
            Claimed::Ask
        })
    }

    /// Tells the others about the tokens that the vendor issued to this replica at `received`, and whether it `rotated` the refresh token.
    pub(super) async fn renewed(
        &self,
        fresh: &Fresh,
        refresh: &SecretString,
        rotated: bool,
        received: Instant,
        now: Timestamp,
    ) {
        let tokens = record::Tokens {
            refresh: refresh.clone(),
            id: fresh.id.clone(),
            received_ms: self.time_at(received, now),
            lifetime: fresh.lifetime,
        };
        self.fleet.lock().renewed(tokens, rotated, Instant::now());
        self.pulse(true).await;
    }

    /// Tells the others that the vendor has issued no tokens to this replica, and when to try again.
    pub(super) async fn failed(&self, pause: Duration, refused: bool) {
        self.fleet.lock().failed(pause, refused, Instant::now());
        self.pulse(true).await;
    }

    /// The serial of the next tokens that this replica obtains.
    pub(super) fn next_serial(&self, rotated: bool) -> SharedSerial {
        let fleet = self.fleet.lock();
        SharedSerial {
            serial: fleet.newest().serial + 1,
            rotates: Some(rotated || fleet.rotates()),
        }
    }

    /// Another replica's tokens, if they are newer than this one's: as the token store keeps them after those of `serial`. They descend
    /// from the `configured` refresh token.
    pub(super) fn to_adopt(
        &self,
        serial: u64,
        configured: &SecretString,
        now: Timestamp,
    ) -> Option<Stored> {
        let today = self.time_at(Instant::now(), now);
        let fleet = self.fleet.lock();
        let record = fleet.to_adopt()?;
        let tokens = record.tokens.as_ref()?;
        let age = SignedDuration::from_millis(today.saturating_sub(tokens.received_ms).max(0));
        let obtained_at = now.saturating_sub(age).unwrap_or(now);
        Some(Stored {
            serial: record.serial.max(serial + 1),
            refresh: tokens.refresh.clone(),
            id: tokens.id.clone().unwrap_or_default(),
            obtained_at,
            expires_at: expiry(tokens.id.as_ref(), obtained_at, tokens.lifetime),
            lineage: Some(fingerprint(configured)),
            shared: Some(SharedSerial {
                serial: record.serial,
                rotates: record.rotates,
            }),
        })
    }

    /// Records that this replica uses the tokens of `serial`.
    pub(super) fn adopted(&self, serial: u64) {
        self.fleet.lock().adopted(serial);
    }

    /// Whether the vendor is known to rotate refresh tokens: then the configured one is dead after the first renewal.
    pub(super) fn rotates(&self) -> bool {
        self.fleet.lock().rotates()
    }

    /// The state for readiness and operators; `has_token` and `due`: whether this replica has an unexpired ID token, and whether its
    /// renewal is due.
    pub(super) fn state(&self, has_token: bool, due: bool) -> TokenSharingState {
        let hindrance = {
            let fleet = self.fleet.lock();
            (fleet.is_free(Instant::now()).err(), fleet.needs_the_store())
        };
        let view = self.view.lock();
        match hindrance {
            (_, true) if view.away && due => TokenSharingState::Alone,
            _ if view.away => TokenSharingState::Away,
            (Some(Denied::InDoubt), _) => TokenSharingState::InDoubt,
            _ if view.behind => TokenSharingState::PuttingBack,
            _ if view.young => TokenSharingState::Quarantine,
            (Some(Denied::Busy), _) if !has_token => TokenSharingState::Waiting,
            _ => TokenSharingState::Shared,
        }
    }

    /// The store's time of day at `instant`, in milliseconds; our own if the store has never answered.
    fn time_at(&self, instant: Instant, now: Timestamp) -> i64 {
        let (then_ms, then) = self
            .view
            .lock()
            .clock
            .unwrap_or_else(|| (now.as_millisecond(), Instant::now()));
        let between = |later: Instant, earlier: Instant| {
            i64::try_from(later.duration_since(earlier).as_millis()).unwrap_or(i64::MAX)
        };
        if instant >= then {
            then_ms.saturating_add(between(instant, then))
        } else {
            then_ms.saturating_sub(between(then, instant))
        }
    }
}
