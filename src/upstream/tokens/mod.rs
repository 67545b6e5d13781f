//! The vendor's tokens. All calls share them, one renewal at a time serves all calls, and none gets lost.
//!
//! | state | meaning | ends with |
//! |---|---|---|
//! | `Pending` | no ID token yet: the client obtains the first one in the background | the vendor's answer |
//! | `Valid` | the ID token has not expired | a call when a fifth of its life is left (half, if replicas share the tokens), which renews it in the background; a 401, which renews it |
//! | `Unused` | it expired while there were no calls | the next call, which renews it |
//! | `RenewalFailing` | the last renewal failed for a temporary reason | the next renewal, after a pause of up to 5 s |
//! | | or the vendor has not answered within `timeout` | its answer; we wait a minute for it before we send the refresh token again |
//! | `Refused` | the vendor refuses the refresh token, or fresh ID tokens | a successful call, or a renewal for one, after a pause of up to a minute |
//! | `NotRenewable` | there is only an ID token | its expiry or refusal |
//! | `Expired` | the ID token has expired, and nothing can renew it | new credentials |
//!
//! In every state, one renewal runs at a time ([`Shared::renewing`], and the store's lock across all processes that share it). Calls that
//! arrive meanwhile take its token, or give up at their own deadline. A renewal calls the vendor, writes the tokens to disk, and only then
//! releases them. If the write fails, Pitaya uses the tokens nevertheless, and `State::unstored` keeps them until a retry or the last
//! attempt at shutdown has written them.
//!
//! Lifetimes are relative (`exp − iat`, else `exp` minus the answer's `Date`), so a clock that is minutes off does no harm. A renewal runs
//! in its own task, calls the vendor once for all callers, and writes the refresh token down before it uses the ID token. If processes
//! share the token store, it holds a file lock, and adopts tokens that another process has written. A 401 may concern a single site, so we
//! judge a refusal by whether the renewal helped the refused call. If not, renewals after refusals pause ever longer, up to a minute, even
//! if other calls succeed meanwhile.
//!
//! Replicas on several machines share their tokens in a store (`sharing` explains how, and what happens if the store fails). Each is in one
//! of the states above, and in one of these:
//!
//! | state | meaning | ends with |
//! |---|---|---|
//! | `Shared` | the store has the newest tokens | any of the following |
//! | `Waiting` | there is no valid ID token here, and another replica is renewing | its tokens, which are adopted |
//! | `Quarantine` | the store may have lost writes, so no replica renews | 3 s later |
//! | `PuttingBack` | the store lacks the newest tokens | a successful write, which is tried four times a second |
//! | `Away` | the store does not answer | its answer |
//! | `Alone` | the store does not answer, and a renewal is due that this replica must not make alone | its answer |
//! | `InDoubt` | a replica disappeared during a renewal; its refresh token may be dead | that replica's return, or new credentials |
//!
//! One gap remains: a process that is killed between the vendor's answer and the write to disk
//! loses a token that the vendor has already rotated.

mod answer;
mod endpoint;
mod jwt;
mod probe;
mod renewal;
mod shared;
mod sharing;
mod state;
mod store;

pub use probe::{UnusableStore, check_token_store};
#[cfg(test)]
pub(super) use sharing::tests::memory;
pub(super) use state::Token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::endpoint::Endpoint;
use self::jwt::Claims;
use self::renewal::Wish;
use self::shared::{Shared, adopt};
use self::sharing::{PULSE, Sharing};
use self::state::{Serve, State, Term};
use self::store::{Store, fingerprint};
use super::error::UpstreamError;
use super::settings::Settings;
use super::status::{TokenSharingState, TokenState, TokenStoreState};
use super::transport::Transport;
use crate::clock::Clock;

/// Clock error that we tolerate when we judge an ID token without a refresh token.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The tokens; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Tokens(Arc<Shared>);

impl Tokens {
    /// Starts from the tokens in `settings`, or from newer ones in the token store.
    ///
    /// Stored tokens take precedence unless they descend from another refresh token than the configured one: then the operator has
    /// configured new credentials.
    pub(super) fn new(settings: &Settings, transport: Arc<Transport>, clock: Clock) -> Self {
        let store = settings.token_store.clone().map(Store::new);
        let stored = store.as_ref().and_then(Store::load);
        let (now, instant) = (clock.now(), Instant::now());
        let own = settings.refresh_token.as_ref().map(fingerprint);
        let mut state = State::new(stored.as_ref().map_or(0, |stored| stored.serial));
        let stored = stored.filter(|stored| own.is_none() || stored.lineage == own);
        // Without a configured refresh token there is nothing to share: each replica has its own ID token.
        let sharing = settings
            .token_sharing
            .as_ref()
            .zip(settings.refresh_token.as_ref());
        let sharing = sharing.map(|(sharing, own)| Sharing::new(sharing, own, stored.as_ref()));
        state.shared = sharing.is_some();
        if let Some(stored) = stored {
            adopt(&mut state, stored, now, instant);
        } else {
            state.refresh.clone_from(&settings.refresh_token);
            state.lineage = own;
            if let Some(id) = &settings.id_token {
                hold_configured(&mut state, id, settings, now, instant);
            }
        }
        if state.refresh.is_none() {
            tracing::warn!(
                "there is no refresh token: calls to the vendor will fail once the ID token expires"
            );
        }
        let tokens = Self(Arc::new(Shared {
            state: Mutex::new(state),
            renewing: tokio::sync::Mutex::new(()),
            ending: AtomicBool::new(false),
            configured: settings.refresh_token.clone(),
            store,
            sharing,
            endpoint: Endpoint::new(settings, clock.clone()),
            transport,
            send_token_on_refresh: settings.send_token_on_refresh,
            timeout: settings.timeout,
            clock,
        }));
        tokens.0.publish();
        tokens
    }

    /// Obtains tokens if there is a refresh token and no unexpired ID token; retries after temporary failures. If replicas share the
    /// tokens, it never returns: it adopts the others' tokens, and renews them at half life. Dropping this future interrupts no renewal.
    pub(super) async fn obtain(&self) {
        if let Some(sharing) = &self.0.sharing {
            return self.keep_sharing(sharing).await;
        }
        loop {
            let wanted = self.0.state().wanted(Instant::now());
            let Some((generation, not_before)) = wanted else {
                return;
            };
            sleep_until(not_before).await;
            if self.renew(generation, Wish::Needed).await.is_err() {
                // The renewal panicked, which is reported elsewhere; the next caller starts another.
                return;
            }
        }
    }

    /// Returns an unexpired ID token; waits for a renewal if there is none, until `deadline` at most.
    pub(super) async fn current(&self, deadline: Instant) -> Result<Token, UpstreamError> {
        let served = self.0.state().serve(Instant::now());
        match served {
            Serve::Token { token, due } => {
                // A running renewal may take a minute; no further one needs to queue behind it.
                if due && self.0.renewing.try_lock().is_ok() {
                    self.renew(token.generation, Wish::Ahead);
                }
                Ok(token)
            }
            Serve::Renew(generation) => self.newer_than(generation, deadline).await,
        }
    }

    /// Records that the vendor refused the ID token of `generation`; `again`: it had already refused the same call an older one.
    pub(super) fn refused(&self, generation: u64, again: bool) {
        self.0.state().refused(generation, again, Instant::now());
        self.0.publish();
    }

    /// Records that the vendor accepted the ID token of `generation`.
    pub(super) fn accepted(&self, generation: u64) {
        self.0.state().accepted(generation);
        self.0.publish();
    }

    /// Returns an ID token newer than `generation`: one that another caller has obtained meanwhile, else a fresh one.
    pub(super) async fn newer_than(
        &self,
        generation: u64,
        deadline: Instant,
    ) -> Result<Token, UpstreamError> {
        timeout_at(deadline, self.renew(generation, Wish::Needed))
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|_| UpstreamError::Internal("the token renewal panicked".to_owned()))?
    }

    /// Waits for the running renewal, if any, and prevents further ones: tokens that the vendor has issued must be on disk before the
    /// process ends.
    pub(super) async fn finish_renewal(&self) {
        self.0.ending.store(true, Ordering::Relaxed);
        let last = self.0.renewing.lock().await;
        self.0.write_unstored().await;
        if let Some(sharing) = &self.0.sharing {
            sharing.pulse(true).await;
        }
        std::mem::forget(last);
    }

    /// The state for readiness and operators.
    pub(super) fn state(&self) -> TokenState {
        self.0.state().token_state(Instant::now())
    }

    /// Time until the ID token expires; `None` if there is none, or it does not expire.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.0.state().time_left(Instant::now())
    }

    /// Whether the newest tokens are in the token store.
    pub(super) fn store_state(&self) -> TokenStoreState {
        let Some(store) = &self.0.store else {
            return TokenStoreState::Unset;
        };
        if self.0.state().unstored.is_some() {
            TokenStoreState::Failing
        } else if store.is_unreadable() {
            TokenStoreState::Unreadable
        } else {
            TokenStoreState::Kept
        }
    }

    /// Whether the replicas agree on the tokens.
    pub(super) fn sharing_state(&self) -> TokenSharingState {
        self.0.sharing_state()
    }

    /// Keeps in touch with the shared store, for ever.
    async fn keep_sharing(&self, sharing: &Sharing) {
        loop {
            sharing.pulse(self.0.renewing.try_lock().is_err()).await;
            if let Ok(_one_at_a_time) = self.0.renewing.try_lock() {
                self.0.adopt_shared(sharing).await;
            }
            self.0.publish();
            let served = self.0.state().serve(Instant::now());
            let from = match served {
                Serve::Token { token, due } => due.then_some(token.generation),
                Serve::Renew(_) => self.0.state().wanted_now(Instant::now()),
            };
            if let Some(generation) = from.filter(|_| self.0.renewing.try_lock().is_ok()) {
                self.renew(generation, Wish::Ahead);
            }
            sleep(PULSE).await;
        }
    }

    /// Starts a renewal. Departing callers cannot interrupt it between the vendor's answer and the disk.
    fn renew(
        &self,
        generation: u64,
        wish: Wish,
    ) -> tokio::task::JoinHandle<Result<Token, UpstreamError>> {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let token = shared.obtain_newer(generation, wish).await;
            shared.publish();
            token
        })
    }
}

/// Adopts the configured ID token, unless it has expired.
fn hold_configured(
    state: &mut State,
    id: &SecretString,
    settings: &Settings,
    now: jiff::Timestamp,
    instant: Instant,
) {
    let claims = Claims::of(id.expose_secret());
    let renewable = settings.refresh_token.is_some();
    // We use a token that we cannot renew as long as it may be valid; a renewable one is not worth a refused call.
    let reference = if renewable {
        now
    } else {
        now.saturating_sub(jiff::SignedDuration::try_from(CLOCK_SKEW).unwrap_or_default())
            .unwrap_or(now)
    };
    let term = match claims.remaining(reference) {
        Some(left) => Some(Term::new(instant, left)),
        None if claims.expires() => return,
        None => renewable.then(|| Term::new(instant, settings.token_lifetime)),
    };
    state.hold(id.clone(), term);
}
