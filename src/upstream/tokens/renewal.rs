//! One renewal: compare, lock, call the vendor, write down, adopt.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout};

use super::answer::Fresh;
use super::endpoint::{self, Failure};
use super::shared::{Shared, adopt};
use super::sharing::{Claimed, Denied, Sharing};
use super::state::{Term, Token};
use super::store::{Store, Stored, expiry, fingerprint};
use crate::backoff::Backoff;
use crate::upstream::error::UpstreamError;
use crate::upstream::telemetry;

/// Attempts within one renewal after temporary failures.
const ATTEMPTS: u32 = 3;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_millis(800));
/// If the endpoint requests a longer pause than this, the renewal fails without another attempt.
const SOON: Duration = Duration::from_millis(200);
/// Pause between attempts to write tokens that could not be written before.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Interval at which a renewal asks for its turn while another replica renews.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The urgency of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// The ID token is still valid: if another replica renews, its tokens arrive in time.
    Ahead,
    /// Calls wait for it.
    Needed,
}

impl Shared {
    /// Returns an ID token newer than `generation`, unless the vendor or a pause after failures denies it.
    pub(super) async fn obtain_newer(
        self: &Arc<Self>,
        generation: u64,
        wish: Wish,
    ) -> Result<Token, UpstreamError> {
        let _one_at_a_time = self.renewing.lock().await;
        // During the wait another renewal may have succeeded, or failed.
        if let Some(token) = self.state().newer_than(generation, Instant::now()) {
            return Ok(token);
        }
        self.state().may_renew(Instant::now())?;
        match &self.sharing {
            None => self.renew_or_adopt(generation).await,
            Some(sharing) => self.renew_or_share(sharing, generation, wish).await,
        }
    }

    /// Renews the tokens, unless another replica has.
    async fn renew_or_share(
        self: &Arc<Self>,
        sharing: &Sharing,
        generation: u64,
        wish: Wish,
    ) -> Result<Token, UpstreamError> {
        loop {
            let pressing = wish == Wish::Needed || self.state().is_pressing(Instant::now());
            match sharing.claim(pressing).await {
                Ok(Claimed::Ask) => break,
                Ok(Claimed::Newer) => {
                    self.adopt_shared(sharing).await;
                    if let Some(token) = self.state().newer_than(generation, Instant::now()) {
                        return Ok(token);
                    }
                }
                Err(denied) => {
                    let passes = matches!(denied, Denied::Busy | Denied::Quarantine | Denied::Away);
                    let ending = self.ending.load(Ordering::Relaxed);
                    if wish == Wish::Ahead || !passes || ending {
                        return Err(denied_error(denied));
                    }
                    self.publish();
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
        let renewed = self.renew().await;
        if renewed.is_err() {
            let (pause, refused) = {
                let state = self.state();
                (state.pause(Instant::now()), state.renewal_is_refused())
            };
            sharing.failed(pause, refused).await;
        }
        renewed
    }

    /// Adopts the tokens that another replica has obtained, if they are newer; the caller must hold `renewing`.
    pub(super) async fn adopt_shared(self: &Arc<Self>, sharing: &Sharing) {
        let Some(own) = &self.configured else { return };
        let serial = self.state().serial;
        let Some(stored) = sharing.to_adopt(serial, own, self.clock.now()) else {
            return;
        };
        if let Some(store) = &self.store {
            self.write_down_alone(store, &stored).await;
        }
        let shared = stored.shared.map_or(0, |shared| shared.serial);
        let mut state = self.state();
        adopt(&mut state, stored, self.clock.now(), Instant::now());
        state.renewed();
        sharing.adopted(shared);
        tracing::info!("another replica has renewed the tokens");
    }

    async fn renew_or_adopt(self: &Arc<Self>, generation: u64) -> Result<Token, UpstreamError> {
        let _alone = match &self.store {
            None => None,
            Some(store) => Some(
                store
                    .lock(self.timeout.saturating_mul(2))
                    .await
                    .map_err(|_| self.failed(UpstreamError::Timeout, Duration::ZERO))?,
            ),
        };
        if let Some(token) = self.adopt_newer(generation).await {
            return Ok(token);
        }
        self.renew().await
    }

    /// Obtains new tokens from the vendor, writes them down and adopts them.
    async fn renew(self: &Arc<Self>) -> Result<Token, UpstreamError> {
        match self.ask().await {
            Ok((fresh, used, received)) => self.take(fresh, used, received).await,
            Err((error, at_least)) => Err(self.failed(error, at_least)),
        }
    }

    fn failed(&self, error: UpstreamError, at_least: Duration) -> UpstreamError {
        tracing::warn!(%error, "could not renew the tokens");
        self.state()
            .renewal_failed(error.clone(), Instant::now(), at_least);
        error
    }

    /// Adopts tokens that another process has written to the token store since Pitaya last read it.
    async fn adopt_newer(&self, generation: u64) -> Option<Token> {
        let store = self.store.clone()?;
        let stored = tokio::task::spawn_blocking(move || store.load())
            .await
            .ok()??;
        let mut state = self.state();
        if stored.serial <= state.serial {
            return None;
        }
        adopt(&mut state, stored, self.clock.now(), Instant::now());
        let token = state.newer_than(generation, Instant::now())?;
        state.renewed();
        tracing::info!("another process has renewed the tokens");
        Some(token)
    }

    /// Sends the newest refresh token and, if the vendor refuses it, once the configured one.
    async fn ask(&self) -> Result<(Fresh, SecretString, Instant), (UpstreamError, Duration)> {
        let (newest, bearer) = {
            let state = self.state();
            let bearer = state.newest().cloned();
            (state.refresh.clone(), bearer)
        };
        let Some(newest) = newest else {
            let error = UpstreamError::Credentials("there is no refresh token".to_owned());
            return Err((error, Duration::ZERO));
        };
        let bearer = bearer.filter(|_| self.send_token_on_refresh);
        match self.exchange(&newest, bearer.as_ref()).await {
            Ok((fresh, received)) => Ok((fresh, newest, received)),
            Err(Failure::Passing(error, at_least)) => Err((error, at_least)),
            Err(Failure::Refused(error)) => {
                let configured = self.configured.clone().filter(|configured| {
                    configured.expose_secret() != newest.expose_secret()
                        && !self.state().fallback_spent
                        // Using a dead token again might revoke the other replicas' tokens.
                        && !self.sharing.as_ref().is_some_and(Sharing::rotates)
                });
                let Some(configured) = configured else {
                    return Err((error, Duration::ZERO));
                };
                tracing::warn!(
                    "the vendor refuses the newest refresh token: Pitaya tries the configured one"
                );
                match self.exchange(&configured, bearer.as_ref()).await {
                    Ok((fresh, received)) => Ok((fresh, configured, received)),
                    Err(Failure::Passing(error, at_least)) => Err((error, at_least)),
                    Err(Failure::Refused(error)) => {
                        // Once is enough: repeated use of a dead token may revoke the living ones.
                        self.state().fallback_spent = true;
                        Err((error, Duration::ZERO))
                    }
                }
            }
        }
    }

    /// Exchanges one refresh token, with a few attempts if the failure is temporary.
    async fn exchange(
        &self,
        refresh: &SecretString,
        bearer: Option<&SecretString>,
    ) -> Result<(Fresh, Instant), Failure> {
        let mut attempt = 1;
        loop {
            // Taken before the call, since the token's life begins before its answer arrives.
            let received = Instant::now();
            let transport = &self.transport;
            let exchange = self.endpoint.exchange(transport, refresh, bearer);
            match self.even_if_late(exchange).await {
                Ok(fresh) => return Ok((fresh, received)),
                Err(Failure::Passing(
                    UpstreamError::Status(500..) | UpstreamError::Connection(_),
                    at_least,
                )) if attempt < ATTEMPTS && at_least <= SOON => {
                    tokio::time::sleep(BACKOFF.jittered(attempt)).await;
                    attempt += 1;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Waits for an exchange. If it is late, logs a warning, and reports the renewal as failing until it ends.
    async fn even_if_late<T>(&self, exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        if let Ok(result) = timeout(self.timeout, &mut exchange).await {
            return result;
        }
        tracing::warn!(
            "the token endpoint did not answer in time: Pitaya waits for a late answer before it sends the refresh token again"
        );
        self.state().renewal_is_late();
        self.publish();
        exchange.await
    }

    /// Writes fresh tokens down, then adopts them.
    ///
    /// An answer without a usable ID token is a failure, but its refresh token may be the only one that still works.
    async fn take(
        self: &Arc<Self>,
        fresh: Fresh,
        used: SecretString,
        received: Instant,
    ) -> Result<Token, UpstreamError> {
        let rotated = fresh
            .refresh
            .as_ref()
            .is_some_and(|new| new.expose_secret() != used.expose_secret());
        if fresh.id.is_none() && !rotated {
            return Err(self.failed(endpoint::no_id_token(), Duration::ZERO));
        }
        let now = self.clock.now();
        let configured = self.configured.as_ref();
        let sharing = self.sharing.as_ref();
        let shared = sharing.map(|sharing| sharing.next_serial(rotated));
        let stored = {
            let state = self.state();
            Stored {
                serial: (state.serial + 1).max(shared.map_or(0, |it| it.serial)),
                shared,
                id: fresh.id.clone().unwrap_or_default(),
                obtained_at: now,
                expires_at: expiry(fresh.id.as_ref(), now, fresh.lifetime),
                lineage: match configured {
                    Some(own) if own.expose_secret() == used.expose_secret() => {
                        Some(fingerprint(own))
                    }
                    _ => state.lineage.clone(),
                },
                refresh: fresh.refresh.clone().unwrap_or(used),
            }
        };
        match &self.store {
            Some(store) if sharing.is_some() => self.write_down_alone(store, &stored).await,
            Some(store) => self.write_down(store, &stored).await,
            None if rotated && self.state().serial == 0 && sharing.is_none() => tracing::warn!(
                "the vendor rotates refresh tokens and there is no token_store: after a restart, the configured token may no longer work"
            ),
            None => {}
        }
        if let Some(sharing) = sharing {
            let refresh = &stored.refresh;
            sharing
                .renewed(&fresh, refresh, rotated, received, now)
                .await;
        }
        self.state().continue_from(&stored);
        let Some(id) = fresh.id else {
            return Err(self.failed(endpoint::no_id_token(), Duration::ZERO));
        };
        let mut state = self.state();
        state.renewed();
        tracing::info!(
            lifetime_s = fresh.lifetime.as_secs(),
            rotated,
            "renewed the tokens"
        );
        Ok(state.hold(id, Some(Term::new(received, fresh.lifetime))))
    }

    /// Like [`Self::write_down`], but keeps other processes from writing to the same file meanwhile.
    async fn write_down_alone(self: &Arc<Self>, store: &Store, stored: &Stored) {
        // A process that holds the lock longer than that hangs, and must not keep the tokens from the disk.
        let _alone = store.lock(self.timeout).await;
        self.write_down(store, stored).await;
    }

    /// Writes the tokens down before anything relies on them.
    ///
    /// If that fails, Pitaya uses them nevertheless, since the old ones may be dead and cannot be brought back, and keeps trying to write
    /// them.
    async fn write_down(self: &Arc<Self>, store: &Store, stored: &Stored) {
        let failed = save(store, stored).await.err();
        if let Some(kind) = failed {
            tracing::error!(path = %store.path().display(), %kind, "could not write the newest tokens to the token store: only memory holds them until a write succeeds");
        }
        let unstored = failed.map(|_| stored.clone());
        let begins = {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.unstored, unstored);
            before.is_none() && state.unstored.is_some()
        };
        if begins {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SAVE_AGAIN).await;
                    let _one_at_a_time = shared.renewing.lock().await;
                    if shared.write_unstored().await {
                        return;
                    }
                }
            });
        }
    }

    /// Writes down the newest tokens if that failed before; returns whether none are left to write. The caller must hold `renewing`.
    pub(super) async fn write_unstored(&self) -> bool {
        let unstored = self.state().unstored.clone();
        let (Some(store), Some(stored)) = (&self.store, unstored) else {
            return true;
        };
        let Ok(_alone) = store.lock(Duration::ZERO).await else {
            return false;
        };
        let path = store.path().display();
        if self.superseded(store, &stored).await {
            tracing::warn!(%path, "another process has meanwhile written other tokens to the token store: Pitaya leaves them there");
        } else if let Err(kind) = save(store, &stored).await {
            tracing::debug!(%path, %kind, "still cannot write to the token store");
            return false;
        } else {
            tracing::info!(%path, "the token store has the newest tokens again");
        }
        self.state().unstored = None;
        true
    }

    /// Whether another process has stored other tokens that are not older than `stored`.
    async fn superseded(&self, store: &Store, stored: &Stored) -> bool {
        let store = store.clone();
        let kept = tokio::task::spawn_blocking(move || store.newest()).await;
        kept.ok().flatten().is_some_and(|kept| {
            kept.serial >= stored.serial
                && kept.refresh.expose_secret() != stored.refresh.expose_secret()
        })
    }
}

/// The error for callers that cannot get new tokens because they are shared.
fn denied_error(denied: Denied) -> UpstreamError {
    UpstreamError::Credentials(
        match denied {
            Denied::Busy | Denied::Quarantine | Denied::Away => {
                "a renewal has to wait for other replicas"
            }
            Denied::Paused { refused: false } => {
                return UpstreamError::Connection(
                    "another replica could not renew the tokens".to_owned(),
                );
            }
            Denied::Paused { refused: true } => {
                "the vendor refuses the refresh token to another replica"
            }
            Denied::InDoubt => {
                "another replica disappeared while it used the refresh token, which may be dead"
            }
            Denied::Alone => {
                "the shared store is away, and renewing without it might revoke all tokens"
            }
        }
        .to_owned(),
    )
}

async fn save(store: &Store, stored: &Stored) -> Result<(), io::ErrorKind> {
    let (store, stored) = (store.clone(), stored.clone());
    let saved = tokio::task::spawn_blocking(move || store.save(&stored))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()));
    saved.map_err(|error| {
        telemetry::store_failure();
        error.kind()
    })
}
