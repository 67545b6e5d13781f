//! What every handler may use; built once.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::http::edge::auth::Authenticator;
use crate::http::edge::in_flight::InFlight;
use crate::http::edge::observe::Instruments;
use crate::http::edge::rate_limit::RateLimits;
use crate::http::operations::health::StartupFact;
use crate::http::settings::Settings;
use crate::http::traffic::parsed_queries::Questions;
use crate::http::traffic::progress::Queries;
use crate::service::TrafficService;

/// Renders the process's metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What every handler may use. Cloning shares it.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// The parts of an [`AppState`] that come from outside.
pub struct Parts {
    /// Answers queries.
    pub service: Arc<TrafficService>,
    /// What the configuration says.
    pub settings: Settings,
    /// The time of day.
    pub clock: Clock,
    /// For `/metrics`.
    pub render_metrics: RenderMetrics,
    /// Cancelled when the process begins to shut down.
    pub shutting_down: CancellationToken,
    /// What was found out at start, for `/readyz`.
    pub startup_facts: Vec<StartupFact>,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    authenticator: Authenticator,
    rate_limits: RateLimits,
    in_flight: InFlight,
    instruments: Instruments,
    questions: Questions,
    queries: Queries,
}

impl AppState {
    /// The state made of those parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            authenticator: Authenticator::new(&parts.settings),
            rate_limits: RateLimits::new(&parts.settings),
            in_flight: InFlight::new(parts.settings.max_in_flight),
            instruments: Instruments::default(),
            questions: Questions::default(),
            queries: Queries::default(),
            parts,
        }))
    }

    pub(in crate::http) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(in crate::http) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    pub(in crate::http) fn rate_limits(&self) -> &RateLimits {
        &self.0.rate_limits
    }

    pub(in crate::http) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    pub(in crate::http) fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    pub(in crate::http) fn questions(&self) -> &Questions {
        &self.0.questions
    }

    pub(in crate::http) fn queries(&self) -> &Queries {
        &self.0.queries
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
