//! From a query to its answer: plan, look up, fetch what is missing, roll up.

mod answer;

pub use answer::{Answer, CacheOutcome, Forward, SiteError, SiteInfo, Stale, Timings};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{Partial, Query};
use crate::domain::site::{CustomerId, SiteId};
use crate::upstream::{UpstreamError, UpstreamStatus};

/// Answers queries from the cache and the vendor.
#[derive(Debug)]
pub struct TrafficService {}

impl TrafficService {
    /// The answer to `query`, after `patience` at the latest.
    pub async fn answer(
        &self,
        _query: &Query,
        _partial: Partial,
        _patience: Duration,
    ) -> Result<Answer, Arc<UpstreamError>> {
        todo!()
    }

    /// The sites of `customer`: those configured, else those learned from the vendor; ascending.
    #[must_use]
    pub fn sites(&self, _customer: CustomerId) -> Vec<SiteInfo> {
        todo!()
    }

    /// Forgets the figures of these sites and dates (`None`: of all), and returns how many cells that were.
    pub fn purge(
        &self,
        _customers: &[CustomerId],
        _sites: Option<&BTreeSet<SiteId>>,
        _dates: Option<DateRange>,
    ) -> u64 {
        todo!()
    }

    /// What the configuration says of sites.
    #[must_use]
    pub fn directory(&self) -> &SiteDirectory {
        todo!()
    }

    /// The state of the vendor and of our tokens.
    #[must_use]
    pub fn upstream_status(&self) -> UpstreamStatus {
        todo!()
    }
}
