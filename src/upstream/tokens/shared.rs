//! The state that all clones of the tokens share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::sharing::Sharing;
use super::state::{State, Term};
use super::store::{Store, Stored};
use crate::clock::Clock;
use crate::upstream::status::TokenSharingState;
use crate::upstream::telemetry;
use crate::upstream::transport::Transport;

/// The tokens, and everything that a renewal needs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Held by the running renewal.
    pub(super) renewing: tokio::sync::Mutex<()>,
    /// Whether the process ends: then no renewal waits for other replicas.
    pub(super) ending: AtomicBool,
    pub(super) configured: Option<SecretString>,
    pub(super) store: Option<Store>,
    /// Where other replicas have the same tokens.
    pub(super) sharing: Option<Sharing>,
    pub(super) endpoint: Endpoint,
    pub(super) transport: Arc<Transport>,
    pub(super) send_token_on_refresh: bool,
    /// How long until an exchange counts as late; its answer may still come.
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn publish(&self) {
        telemetry::token_state(self.state().token_state(Instant::now()));
        telemetry::token_sharing_state(self.sharing_state());
    }

    pub(super) fn sharing_state(&self) -> TokenSharingState {
        let (has_token, due) = self.state().outlook(Instant::now());
        self.sharing
            .as_ref()
            .map_or(TokenSharingState::Unset, |it| it.state(has_token, due))
    }
}

/// Adopts stored tokens.
pub(super) fn adopt(state: &mut State, stored: Stored, now: jiff::Timestamp, instant: Instant) {
    state.continue_from(&stored);
    let left = Duration::try_from(stored.expires_at.duration_since(now)).unwrap_or_default();
    let lived = Duration::try_from(now.duration_since(stored.obtained_at)).unwrap_or_default();
    if !left.is_zero() {
        let received = instant.checked_sub(lived).unwrap_or(instant);
        let term = Term::new(received, lived.saturating_add(left));
        state.hold(stored.id, Some(term));
    }
}
