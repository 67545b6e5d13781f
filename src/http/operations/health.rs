//! `/livez` and `/readyz`: whether the process is up, and whether it is ready for requests.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{NO_STORE, Operations};
use crate::http::routes;
use crate::http::settings::StartupFact;
use crate::service::TierState;
use crate::upstream::{
    CircuitState, TokenSharingState, TokenState, TokenStoreState, UpstreamStatus,
};

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = HealthStatus)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pass,
    Warn,
    Fail,
}

/// Result of one check.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Check {
    status: Status,
    /// The state, for programs; checks made only at startup have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<&'static str>,
    /// The explanation, for people.
    detail: String,
}

/// State of the process, and its view of the vendor.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Readiness {
    /// The worst status of the checks; only shutdown makes it `fail`.
    status: Status,
    /// The checks by name, including those of the vendor and the tokens.
    checks: BTreeMap<&'static str, Check>,
}

/// The process answers.
#[derive(Serialize, ToSchema)]
struct Liveness {
    status: Live,
}

/// The process is well.
#[derive(Serialize, ToSchema)]
#[schema(as = LivenessStatus)]
#[serde(rename_all = "lowercase")]
enum Live {
    Pass,
}

/// `GET /livez`: the process answers.
#[utoipa::path(
    get,
    path = routes::LIVE.path,
    operation_id = "getLiveness",
    tag = "Operation",
    summary = "Whether the process is up",
    responses((status = 200, description = "It is.", body = Liveness)),
)]
pub(in crate::http) async fn live() -> Response {
    (NO_STORE, Json(Liveness { status: Live::Pass })).into_response()
}

/// `GET /readyz`: the process is ready for requests. A failing vendor does not change that, because cached figures still serve.
#[utoipa::path(
    get,
    path = routes::READY.path,
    operation_id = "getReadiness",
    tag = "Operation",
    summary = "Readiness",
    description = "The state of the process itself: it becomes unready when it shuts down, but not when the vendor fails.",
    responses(
        (status = 200, description = "Ready.", body = Readiness),
        (status = 503, description = "The process is shutting down.", body = Readiness),
    ),
)]
pub(in crate::http) async fn ready(State(state): State<Operations>) -> Response {
    let readiness = Readiness::of(
        state.shutting_down.is_cancelled(),
        state.service.upstream_status(),
        state.service.tier_state(),
        &state.snapshots.now().facts,
    );
    let status = match readiness.status {
        Status::Pass | Status::Warn => StatusCode::OK,
        Status::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, NO_STORE, Json(readiness)).into_response()
}

impl Readiness {
    fn of(
        shutting_down: bool,
        upstream: UpstreamStatus,
        tier: Option<TierState>,
        facts: &[StartupFact],
    ) -> Self {
        let process = if shutting_down {
            check(Status::Fail, "The process is shutting down.").in_state("shutting_down")
        } else {
            pass("The process takes requests.").in_state("running")
        };
        let mut checks = BTreeMap::from([
            ("process", process),
            ("upstream_circuit", circuit(upstream.circuit)),
            ("upstream_throttle", throttle(upstream.throttled)),
            ("upstream_tokens", tokens(upstream.tokens)),
            ("upstream_token_store", token_store(upstream.token_store)),
        ]);
        let sharing = token_sharing(upstream.token_sharing);
        checks.extend(sharing.map(|check| ("upstream_token_sharing", check)));
        checks.extend(tier.map(|tier| ("cache_tier", cache_tier(tier))));
        for fact in facts {
            checks.insert(fact.name, warn(fact.detail));
        }
        let worst = checks.values().map(|check| check.status).max();
        Self {
            status: worst.unwrap_or(Status::Pass),
            checks,
        }
    }
}

impl Check {
    fn in_state(self, state: &'static str) -> Self {
        Self {
            state: Some(state),
            ..self
        }
    }
}

fn pass(detail: &str) -> Check {
    check(Status::Pass, detail)
}

fn warn(detail: &str) -> Check {
    check(Status::Warn, detail)
}

fn check(status: Status, detail: &str) -> Check {
    Check {
        status,
        state: None,
        detail: detail.to_owned(),
    }
}

fn circuit(state: CircuitState) -> Check {
    let check = match state {
        CircuitState::Closed => pass("The circuit is closed: the vendor does not keep failing."),
        CircuitState::Open => warn("The vendor kept failing, and is left alone for a moment."),
        CircuitState::HalfOpen => warn("One call probes whether the vendor is well again."),
    };
    check.in_state(state.name())
}

fn throttle(throttled: bool) -> Check {
    if throttled {
        let check = warn("The vendor has requested a pause, and is not called until it is over.");
        return check.in_state("paused");
    }
    pass("The vendor has requested no pause.").in_state("none")
}

fn tokens(state: TokenState) -> Check {
    let check = match state {
        TokenState::Pending => warn("There is no ID token yet: the first one is being obtained."),
        TokenState::Unused => {
            pass("The ID token expired while nobody needed it, and is renewed for the next call.")
        }
        TokenState::Valid => pass("The ID token has not expired."),
        TokenState::NotRenewable => {
            warn("There is no refresh token: calls fail once the ID token expires.")
        }
        TokenState::RenewalFailing => warn("Token renewal is failing; Pitaya keeps retrying."),
        TokenState::Refused => warn("The vendor refuses Pitaya's tokens."),
        TokenState::Expired => {
            warn("The ID token has expired, and there is nothing to renew it with.")
        }
    };
    check.in_state(state.name())
}

fn token_store(state: TokenStoreState) -> Check {
    let check = match state {
        TokenStoreState::Unset => {
            pass("There is no token_store: the newest tokens are in memory only.")
        }
        TokenStoreState::Kept => pass("A restart begins with the newest tokens."),
        TokenStoreState::Unreadable => warn(
            "The file of token_store could not be read, so Pitaya uses the configured tokens, which may be older. The next renewal replaces the file.",
        ),
        TokenStoreState::Failing => warn(
            "The newest tokens could not be written to the token store, which is tried again: until then a restart loses them.",
        ),
    };
    check.in_state(state.name())
}

fn token_sharing(state: TokenSharingState) -> Option<Check> {
    let check = match state {
        TokenSharingState::Unset => return None,
        TokenSharingState::Shared => {
            pass("The shared store has the newest tokens of all replicas.")
        }
        TokenSharingState::Waiting => {
            warn("There is no valid ID token here yet: another replica is renewing.")
        }
        TokenSharingState::Quarantine => warn(
            "The shared store is new or may have lost writes: no replica renews for some seconds, so that others can put back newer tokens.",
        ),
        TokenSharingState::PuttingBack => {
            warn("The shared store lacks the newest tokens: this replica puts them back.")
        }
        TokenSharingState::InDoubt => warn(
            "A replica disappeared while it renewed the tokens, so the refresh token may be dead: it is not used again. Start that replica again with its token_store, or configure new credentials.",
        ),
        TokenSharingState::Away => {
            warn("The shared store is away: this replica uses the tokens that it has.")
        }
        TokenSharingState::Alone => warn(
            "The shared store is away and the tokens are due to be renewed: this replica does not renew them alone, since that could revoke them.",
        ),
    };
    Some(check.in_state(state.name()))
}

fn cache_tier(state: TierState) -> Check {
    let check = match state {
        TierState::Open => pass("Figures are kept on disk, and outlive the process."),
        TierState::WaitingForLock => warn(
            "Another process uses the folder of cache.disk.path: this one keeps nothing there until that ends.",
        ),
        TierState::Away => warn(
            "The cache on disk failed, or the shared store is away, and is tried again: until then figures are in memory only.",
        ),
        TierState::Slow => {
            warn("The cache on disk does not answer in time, and is not read for now.")
        }
        TierState::Connected => pass("Figures are shared with the other replicas."),
        TierState::RefusingWrites => warn(
            "The shared store refuses to keep anything, perhaps for lack of memory: each replica asks the vendor for itself.",
        ),
        TierState::EvictionPolicy => warn(
            "The shared store should have a maxmemory, and maxmemory-policy volatile-lru: else it fills up, or forgets more than figures.",
        ),
        TierState::Clock => {
            warn("The clock of the shared store differs from this machine's by more than a second.")
        }
    };
    check.in_state(state.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: UpstreamStatus = UpstreamStatus {
        circuit: CircuitState::Closed,
        throttled: false,
        tokens: TokenState::Valid,
        token_store: TokenStoreState::Kept,
        token_sharing: TokenSharingState::Unset,
    };

    #[test]
    fn a_failing_vendor_is_shown_and_does_not_make_pitaya_unready() {
        let failing = UpstreamStatus {
            circuit: CircuitState::Open,
            throttled: true,
            tokens: TokenState::Refused,
            token_store: TokenStoreState::Failing,
            token_sharing: TokenSharingState::Alone,
        };

        let readiness = Readiness::of(false, failing, Some(TierState::Away), &[]);

        assert_eq!(readiness.status, Status::Warn);
        assert_eq!(readiness.checks["upstream_circuit"].state, Some("open"));
        let throttle = &readiness.checks["upstream_throttle"];
        assert_eq!(
            (throttle.status, throttle.state),
            (Status::Warn, Some("paused"))
        );
        assert_eq!(readiness.checks["upstream_tokens"].state, Some("refused"));
        let store = &readiness.checks["upstream_token_store"];
        assert_eq!((store.status, store.state), (Status::Warn, Some("failing")));
        let sharing = &readiness.checks["upstream_token_sharing"];
        assert_eq!(
            (sharing.status, sharing.state),
            (Status::Warn, Some("alone"))
        );
        let tier = &readiness.checks["cache_tier"];
        assert_eq!((tier.status, tier.state), (Status::Warn, Some("away")));
    }

    #[test]
    fn shutting_down_makes_pitaya_unready() {
        assert_eq!(
            Readiness::of(false, WELL, Some(TierState::Open), &[]).status,
            Status::Pass
        );
        assert_eq!(Readiness::of(true, WELL, None, &[]).status, Status::Fail);
    }

    #[test]
    fn what_was_found_out_at_start_is_told() {
        let fact = StartupFact {
            name: "token_store",
            detail: "Tokens are kept in memory only.",
        };

        let readiness = serde_json::to_value(Readiness::of(false, WELL, None, &[fact])).unwrap();

        assert_eq!(readiness["status"], "warn");
        assert_eq!(
            readiness["checks"]["token_store"],
            serde_json::json!({"status": "warn", "detail": "Tokens are kept in memory only."})
        );
    }
}
