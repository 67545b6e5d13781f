//! The vendor's client: from a rectangle of cells to few reports, and from their answers to cells.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Fetched;
use super::ask::Asker;
use super::error::StartError;
use super::limits::Limits;
use super::places::Interest;
use super::report::{Reporter, Turn};
use super::settings::Settings;
use super::sites::learned::Learned;
use super::status::UpstreamStatus;
use super::telemetry;
use super::worklist::WorkList;
use crate::clock::Clock;
use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};

/// The name of what was learned of the sizes of reports, and what the names of what was learned of customers' sites begin with.
const SIZES: &str = "sizes";
const SITES: &str = "sites.";

/// The vendor's client; share it in an `Arc`.
pub struct Upstream {
    reporter: Reporter,
    limits: Limits,
    learned: Learned,
}

impl Upstream {
    /// A client as `settings` say; it reads the token store, and calls nobody until it is asked for something.
    ///
    /// # Errors
    ///
    /// Where no HTTP client can be made of them.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        Ok(Self {
            limits: Limits::new(
                settings.max_sites_per_request,
                settings.max_days_per_request,
            ),
            reporter: Reporter::new(settings, clock)?,
            learned: Learned::default(),
        })
    }

    /// Waits until it is the turn of a report that has not been asked for; dropping the future gives the turn up. Nothing but the
    /// interest in it decides how long that takes.
    pub async fn turn(&self, interest: Interest) -> Turn {
        self.reporter.turn(interest).await
    }

    /// Every cell of `request`, either brought or within a failure, for sites in the zones that `directory` says. It splits, resolves
    /// and tries again as needed. It begins no attempt after the configured deadline, but where it asks for a report's parts: that goes
    /// on, so that the next caller profits.
    pub async fn fetch_in_turn(
        &self,
        request: &ReportRequest,
        directory: &Arc<SiteDirectory>,
        turn: Turn,
    ) -> Fetched {
        if request.sites.is_empty() || request.metrics.is_empty() {
            return Fetched::default();
        }
        let customer = self.learned.customer(request.customer);
        let since = customer.known().purges();
        let job = self.reporter.job(request, directory, turn, since);
        let asker = Asker {
            reporter: &self.reporter,
            limits: &self.limits,
            job: &job,
        };
        let list = WorkList::new(asker, customer);
        let mut fetched = list.fetch(request.clone()).await;
        telemetry::cells(fetched.cells.len());
        fetched.calls = job.calls();
        fetched
    }

    /// Lets the fetches that begin from now on take that long.
    pub fn set_deadline(&self, deadline: Duration) {
        self.reporter.set_deadline(deadline);
    }

    /// Obtains tokens where there are none, so that they are there before the first caller, and credentials that the vendor refuses are
    /// seen before then. It may be dropped at any time.
    pub async fn obtain_tokens(&self) {
        self.reporter.obtain_tokens().await;
    }

    /// Waits until no renewal of the tokens is under way, and lets no other begin: to be called before the process ends, since a
    /// refresh token that the vendor has just issued is the only one that works.
    pub async fn finish_renewal(&self) {
        self.reporter.finish_renewal().await;
    }

    /// The state of the vendor and of our tokens.
    #[must_use]
    pub fn status(&self) -> UpstreamStatus {
        self.reporter.status()
    }

    /// Whether the circuit lets a call made now through to the vendor.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.reporter.is_callable()
    }

    /// How many reports for warming may be in flight at once.
    #[must_use]
    pub fn max_warming(&self) -> usize {
        self.reporter.max_warming()
    }

    /// The sites of `customer` that the vendor's answers have shown, ascending, with their names there.
    #[must_use]
    pub fn known_sites(&self, customer: CustomerId) -> Vec<(SiteId, Option<String>)> {
        self.learned.customer(customer).known().sites()
    }

    /// Counts the changes of names that [`Self::site_name`] has told of: what was shown of the customer's names before another one is
    /// not true any more.
    #[must_use]
    pub fn names_changed(&self, customer: CustomerId) -> u64 {
        self.learned.customer(customer).names_changed()
    }

    /// The name that the vendor gives to `site`, to be shown.
    #[must_use]
    pub fn site_name(&self, customer: CustomerId, site: SiteId) -> Option<String> {
        self.learned.customer(customer).known().show_name(site)
    }

    /// Forgets what was learned of these sites (`None`: of all), also where a fetch that began earlier would teach it.
    pub fn forget(&self, customer: CustomerId, sites: Option<&BTreeSet<SiteId>>) {
        self.learned.customer(customer).known().forget(sites);
    }

    /// The parts of what was learned, to outlive the process, that are at another revision than `known` says: each with its name and
    /// its revision.
    #[must_use]
    pub fn learned(&self, known: &HashMap<String, u64>) -> Vec<(String, u64, Vec<u8>)> {
        let is_known = |name: &str, revision| known.get(name) == Some(&revision);
        let mut parts = Vec::new();
        // The revision is read before the content, and so is never newer.
        let revision = self.limits.revision();
        if !is_known(SIZES, revision) {
            parts.push((SIZES.to_owned(), revision, self.limits.kept()));
        }
        for (id, customer) in self.learned.customers() {
            let name = format!("{SITES}{id}");
            let known = customer.known();
            let revision = known.revision();
            if !is_known(&name, revision) {
                let kept = known.kept();
                drop(known);
                parts.push((name, revision, kept.text()));
            }
        }
        parts
    }

    /// Takes back a part of what an earlier process had [`learned`](Self::learned), where this one knows nothing newer; false for
    /// bytes that are not understood.
    #[must_use]
    pub fn restore(&self, name: &str, content: &[u8]) -> bool {
        if name == SIZES {
            return self.limits.restore(content);
        }
        let customer = name.strip_prefix(SITES).and_then(|id| id.parse().ok());
        customer.is_some_and(|id: CustomerId| self.learned.customer(id).known().restore(content))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}
