//! Purges: those requested of this process, and those announced by other replicas.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::TrafficService;
use crate::cores;
use crate::domain::dates::DateRange;
use crate::domain::purge::Purge;
use crate::domain::site::{CustomerId, SiteId};
use crate::tier::Away;

/// Result of a purge.
pub struct Purged {
    /// Number of purged cells in memory.
    pub cells: u64,
    /// Completes once the purge outlives the process.
    pub lasting: BoxFuture<'static, Result<(), Away>>,
}

impl TrafficService {
    /// Forgets the figures of these sites and dates (`None`: all), and everything learned about these sites. Once it returns, no answer
    /// shows them.
    #[must_use]
    pub fn purge(
        &self,
        customers: &[CustomerId],
        sites: Option<&BTreeSet<SiteId>>,
        dates: Option<DateRange>,
    ) -> Purged {
        let now = self.engine.clock.now();
        // Before the figures, so that the purge of the figures also ends answers that still show a name.
        for customer in customers {
            self.engine.upstream.forget(*customer, sites, now);
        }
        self.purge_cells(Purge {
            customers: customers.iter().copied().collect(),
            sites: sites.cloned(),
            dates,
        })
    }

    /// Forgets figures alone.
    pub(super) fn purge_cells(&self, purge: Purge) -> Purged {
        let Some(tier) = &self.engine.tier else {
            return Purged {
                cells: self.engine.cells.purge(&purge),
                lasting: ready(Ok(())).boxed(),
            };
        };
        // The first step hides the figures in the tier. The second comes after everything that earlier claims have put there.
        let purge = tier.begin_purge(purge);
        Purged {
            cells: self.engine.cells.purge(&purge),
            lasting: tier.finish_purge(purge),
        }
    }

    /// Makes the purges that other replicas announce, for as long as it is polled.
    pub async fn keep_in_step(&self) {
        let Some(tier) = &self.engine.tier else {
            return;
        };
        loop {
            for (purge, at) in tier.news().await {
                let purge = purge.unwrap_or_else(|| Purge {
                    customers: self.rules.load().rules.customers.clone(),
                    sites: None,
                    dates: None,
                });
                for customer in &purge.customers {
                    let sites = purge.sites.as_ref();
                    self.engine.upstream.forget(*customer, sites, at);
                }
                let cells = Arc::clone(&self.engine.cells);
                let purged = cores::work(move || cells.purge(&purge)).await;
                match purged {
                    Ok(cells) => tracing::info!(cells, "repeated a purge of another replica"),
                    Err(error) => {
                        tracing::error!(%error, "could not repeat a purge of another replica");
                    }
                }
            }
        }
    }
}
