//! Configuration that may change while the process runs.
//!
//! Clients, sites, limits and origins are one value behind an `ArcSwap`. A request reads one snapshot from its beginning to its end.
//! Remembered queries and answers carry the snapshot's generation, so none outlives it. A client is identified by its name, and keeps its
//! use of an unchanged rate limit.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::auth::{Authenticator, Caller};
use super::rate_limit::Standing;
use super::request_fields::RequestFields;
use super::usage;
use crate::domain::directory::SiteDirectory;
use crate::http::params::{Scope, Terms};
use crate::http::present::LongestAge;
use crate::http::problem::KeyFault;
use crate::http::settings::{Settings, StartupFact};

/// Clients, sites, limits and origins at one moment: a request reads one snapshot from its beginning to its end.
#[derive(Debug)]
pub(in crate::http) struct Snapshot {
    /// Number of earlier snapshots. Results derived from one snapshot are not used with another.
    pub(in crate::http) generation: u64,
    pub(in crate::http) settings: Settings,
    pub(in crate::http) directory: Arc<SiteDirectory>,
    /// Findings that follow from the configuration, for `/readyz`.
    pub(in crate::http) facts: Vec<StartupFact>,
    pub(in crate::http) longest_age: LongestAge,
    pub(super) authenticator: Authenticator,
}

impl Snapshot {
    /// Caller of a request with those header fields; `None` without a valid key.
    pub(in crate::http) fn caller(&self, headers: &HeaderMap) -> Option<Arc<Caller>> {
        let fields = RequestFields::of(headers);
        self.authenticator.caller(&fields).ok().cloned()
    }

    /// Finds the caller with a key from outside the header, and counts the request against its limit.
    pub(in crate::http) fn identify(&self, key: &[u8]) -> Result<Identified, KeyFault> {
        let caller = self.authenticator.caller_with(key)?;
        Ok(Identified {
            caller: Arc::clone(caller),
            standing: caller.count(),
        })
    }

    /// `metrics` without those of clients that the configuration no longer has: a recorder forgets nothing.
    pub(in crate::http) fn metrics_of_clients(&self, metrics: &str) -> String {
        usage::of_clients(metrics, &self.authenticator.names())
    }

    /// The terms by which the words of a caller with that `scope` have their meaning.
    pub(in crate::http) fn terms<'a>(&'a self, scope: Scope<'a>) -> Terms<'a> {
        Terms {
            scope,
            directory: &self.directory,
            settings: &self.settings,
        }
    }
}

/// The caller with a key, and the state of its limit after this request.
#[derive(Clone, Debug)]
pub(in crate::http) struct Identified {
    pub(super) caller: Arc<Caller>,
    pub(in crate::http) standing: Option<Standing>,
}

/// Current snapshot for new requests. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::http) struct Snapshots(Arc<ArcSwap<Snapshot>>);

impl Snapshots {
    pub(in crate::http) fn new(
        settings: Settings,
        directory: Arc<SiteDirectory>,
        facts: Vec<StartupFact>,
    ) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Snapshot {
            generation: 0,
            longest_age: LongestAge::new(settings.http_max_age),
            authenticator: Authenticator::new(&settings, None),
            settings,
            directory,
            facts,
        })))
    }

    pub(in crate::http) fn now(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Replaces the snapshot for requests that arrive from now on. A client with the same name and rate limit keeps its use of the limit.
    /// Transfers to callers whose keys are no longer valid end.
    pub(in crate::http) fn replace(
        &self,
        settings: &Settings,
        directory: &Arc<SiteDirectory>,
        facts: &[StartupFact],
    ) {
        let before = self.0.rcu(|before| Snapshot {
            generation: before.generation + 1,
            longest_age: LongestAge::new(settings.http_max_age),
            authenticator: Authenticator::new(settings, Some(&before.authenticator)),
            settings: settings.clone(),
            directory: Arc::clone(directory),
            facts: facts.to_vec(),
        });
        before.authenticator.end_all_but(&self.now().authenticator);
    }
}
