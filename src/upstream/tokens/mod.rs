//! The vendor's tokens: held for everybody, renewed once for everybody, and never lost.
//!
//! | state | what it means | what ends it |
//! |---|---|---|
//! | `Pending` | no ID token yet; the first is being obtained behind the start | the vendor's answer |
//! | `Valid` | the ID token has not expired | a fifth of its life is left and somebody calls: renewed behind; a 401: renewed |
//! | `Unused` | it expired while nobody called | the next call renews it |
//! | `RenewalFailing` | the last renewal failed for a reason that passes | the next renewal, after a pause of up to 5 s |
//! | | or the vendor has not answered within `timeout` | its answer, which is awaited for a minute before the refresh token is sent again |
//! | `Refused` | the vendor refuses the refresh token, or ID tokens that are fresh | a call that is answered, or a renewal for one, after a pause of up to a minute |
//! | `NotRenewable` | an ID token is all there is | it expires, or is refused |
//! | `Expired` | it has, and nothing can renew it | new credentials |
//!
//! Whatever the state, one renewal runs at a time ([`Shared::renewing`], and the store's lock for all processes that share it), and who
//! comes while it runs takes its token, or gives up at its own deadline. A renewal asks, writes the tokens down, and only then lets anybody have them. Tokens that could
//! not be written down are used nevertheless; `State::unstored` holds them until they are on disk, tried again and again and once more
//! at the end of the process.
//!
//! Lifetimes are relative (`exp − iat`, else against the answer's `Date`), so that a clock that is minutes off does no harm. A
//! renewal is detached from its caller, asks once for everybody, and writes the refresh token down before the ID token is used; on
//! a shared token store it holds a file lock and takes over what another process has written. A 401 may concern one site alone, so
//! a refusal is judged by whether the renewal has helped the call that was refused: where it has not, renewals for refusals pause
//! ever longer, up to a minute, whatever other calls succeed meanwhile. What cannot be had: between the vendor's answer and the
//! disk there is a moment in which a killed process loses a token that the vendor has already rotated.

mod answer;
mod endpoint;
mod jwt;
mod probe;
mod renewal;
mod shared;
mod state;
mod store;

pub use probe::{UnusableStore, check_token_store};
pub(super) use state::Token;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep_until, timeout_at};

use self::endpoint::Endpoint;
use self::jwt::Claims;
use self::renewal::Renewal;
use self::shared::{Shared, adopt};
use self::state::{Serve, State, Term};
use self::store::{Store, fingerprint};
use super::error::UpstreamError;
use super::settings::Settings;
use super::status::{TokenState, TokenStoreState};
use super::transport::Transport;
use crate::clock::Clock;

/// How wrong the clocks may be that an ID token without a refresh token is judged by.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The tokens; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Tokens(Arc<Shared>);

impl Tokens {
    /// The tokens that `settings` give, or newer ones from the token store.
    ///
    /// Stored tokens win unless they descend from another refresh token than the one that is configured now: then the operator
    /// has put in new credentials.
    pub(super) fn new(settings: &Settings, transport: Arc<Transport>, clock: Clock) -> Self {
        let store = settings.token_store.clone().map(Store::new);
        let stored = store.as_ref().and_then(Store::load);
        let (now, instant) = (clock.now(), Instant::now());
        let own = settings.refresh_token.as_ref().map(fingerprint);
        let mut state = State::new(stored.as_ref().map_or(0, |stored| stored.serial));
        let stored = stored.filter(|stored| own.is_none() || stored.lineage == own);
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
                "there is no refresh token: the vendor can be asked only until the ID token expires"
            );
        }
        let tokens = Self(Arc::new(Shared {
            state: Mutex::new(state),
            renewing: tokio::sync::Mutex::new(()),
            configured: settings.refresh_token.clone(),
            store,
            endpoint: Endpoint::new(settings, clock.clone()),
            transport,
            send_token_on_refresh: settings.send_token_on_refresh,
            timeout: settings.timeout,
            clock,
        }));
        tokens.0.publish();
        tokens
    }

    /// Obtains tokens, where there is a refresh token and no ID token that has not expired; tries again while that fails for a reason that
    /// passes. Dropping this future interrupts no renewal.
    pub(super) async fn obtain(&self) {
        loop {
            let wanted = self.0.state().wanted(Instant::now());
            let Some((generation, not_before)) = wanted else {
                return;
            };
            sleep_until(not_before).await;
            if self.renew(generation).await.is_err() {
                // It has panicked, which is told elsewhere; the next caller starts another.
                return;
            }
        }
    }

    /// An ID token that has not expired; waits for its renewal where there is none, until `deadline` at most.
    pub(super) async fn current(&self, deadline: Instant) -> Result<Token, UpstreamError> {
        let served = self.0.state().serve(Instant::now());
        match served {
            Serve::Token { token, due } => {
                // One that is under way may take a minute; nobody needs to queue behind it.
                if due && self.0.renewing.try_lock().is_ok() {
                    self.renew(token.generation);
                }
                Ok(token)
            }
            Serve::Renew(generation) => self.newer_than(generation, deadline).await,
        }
    }

    /// Notes that the vendor refused the ID token of `generation`, `again` where the same call had been refused an older one.
    pub(super) fn refused(&self, generation: u64, again: bool) {
        self.0.state().refused(generation, again, Instant::now());
        self.0.publish();
    }

    /// Notes that the vendor took the ID token of `generation`.
    pub(super) fn accepted(&self, generation: u64) {
        self.0.state().accepted(generation);
        self.0.publish();
    }

    /// An ID token newer than `generation`: the one that somebody else has got meanwhile, else a fresh one.
    pub(super) async fn newer_than(
        &self,
        generation: u64,
        deadline: Instant,
    ) -> Result<Token, UpstreamError> {
        timeout_at(deadline, self.renew(generation))
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|_| UpstreamError::Internal("the renewal of the tokens died".to_owned()))?
    }

    /// Waits for the renewal under way, if any, and lets no other begin: what the vendor has issued must be on disk before the process
    /// ends.
    pub(super) async fn finish_renewal(&self) {
        let last = self.0.renewing.lock().await;
        Renewal::of(&self.0).write_unstored().await;
        std::mem::forget(last);
    }

    /// What readiness and operators are told.
    pub(super) fn state(&self) -> TokenState {
        self.0.state().token_state(Instant::now())
    }

    /// Where the newest tokens are kept.
    pub(super) fn store_state(&self) -> TokenStoreState {
        if self.0.store.is_none() {
            TokenStoreState::Unset
        } else if self.0.state().unstored.is_some() {
            TokenStoreState::Failing
        } else {
            TokenStoreState::Kept
        }
    }

    /// Starts a renewal that no leaving caller can interrupt between the vendor's answer and the disk.
    fn renew(&self, generation: u64) -> tokio::task::JoinHandle<Result<Token, UpstreamError>> {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let token = Renewal::of(&shared).run(generation).await;
            shared.publish();
            token
        })
    }
}

/// Takes the configured ID token into use, unless it has expired.
fn hold_configured(
    state: &mut State,
    id: &SecretString,
    settings: &Settings,
    now: jiff::Timestamp,
    instant: Instant,
) {
    let claims = Claims::of(id.expose_secret());
    let renewable = settings.refresh_token.is_some();
    // A token that can't be renewed is used as long as it may be good; one that can is not worth a refused call.
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
