//! The vendor's client: from a rectangle of cells to few reports, and from their answers to cells.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Fetched;
use super::ask::Asker;
use super::error::StartError;
use super::limits::Limits;
use super::places::{Interest, PlacesTold};
use super::report::{Job, Reporter, Turn};
use super::settings::Settings;
use super::sites::learned::{Learned, VendorSite};
use super::status::UpstreamStatus;
use super::telemetry;
use super::worklist::WorkList;
use crate::clock::Clock;
use crate::domain::batch::Bounds;
use crate::domain::cell::ReportRequest;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};

/// Name of the part that holds the learned sizes of reports.
const SIZES: &str = "sizes";
/// Prefix of the parts that hold what the vendor's answers taught about a customer's sites; the customer's id follows.
const SITES: &str = "sites.";

/// Whether the client learns from the answers to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teaching {
    /// It learns the entities, names and parts of sites, as always.
    On,
    /// It learns nothing of sites.
    Off,
}

/// A process's use of the vendor, as it tells the other replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VendorUse {
    /// The places.
    pub places: PlacesTold,
    /// Time for which the vendor must not be called, according to its answers to this process.
    pub throttled: Option<Duration>,
}

/// The vendor's client; share it in an `Arc`.
pub struct Upstream {
    pub(super) reporter: Reporter,
    limits: Limits,
    learned: Learned,
}

impl Upstream {
    /// Makes a client. It reads the token store, and makes no call before the first request.
    ///
    /// # Errors
    ///
    /// If no HTTP client can be made from `settings`.
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

    /// Waits for the turn of a report that has not begun. Only `interest` decides how long that takes; dropping the future gives up
    /// the turn.
    pub async fn turn(&self, interest: Interest) -> Turn {
        self.reporter.turn(interest).await
    }

    /// Fetches every cell of `request`, for sites in the zones of `directory`. Each cell is in the result, as figures or as part of a
    /// failure. It splits, resolves and retries as needed. It begins no attempt after the configured deadline, except that it
    /// continues to split a report it has begun to split, for the benefit of the next caller. `teaching` decides whether the client
    /// learns from the answers.
    pub async fn fetch_in_turn(
        &self,
        request: &ReportRequest,
        directory: &Arc<SiteDirectory>,
        turn: Turn,
        teaching: Teaching,
    ) -> Fetched {
        if request.sites.is_empty() || request.metrics.is_empty() {
            return Fetched::default();
        }
        let customer = self.learned.customer(request.customer);
        let since = match teaching {
            Teaching::On => Some(customer.known().purges()),
            Teaching::Off => None,
        };
        let deadline = Instant::now() + *self.reporter.deadline.lock();
        let job = Job::new(request, directory, turn, since, deadline);
        let asker = Asker {
            reporter: &self.reporter,
            limits: &self.limits,
            job: &job,
        };
        let list = WorkList::new(asker, customer);
        let mut fetched = list.fetch(request.clone()).await;
        telemetry::cells(fetched.cells.len());
        fetched.calls = job.calls.load(Ordering::Relaxed);
        fetched
    }

    /// Sets the deadline of fetches that begin from now on.
    pub fn set_deadline(&self, deadline: Duration) {
        *self.reporter.deadline.lock() = deadline;
    }

    /// Obtains tokens if there are none. The first caller then need not wait for them, and operators see refused credentials before any
    /// caller does. If replicas share the tokens, this never ends: it adopts their tokens, and puts lost ones back. The future may be
    /// dropped at any time.
    pub async fn obtain_tokens(&self) {
        self.reporter.tokens.obtain().await;
    }

    /// Waits for a renewal in progress, and prevents any other. Call it before the process ends: a refresh token that the vendor has
    /// just issued is the only one that works, and must reach the token store.
    pub async fn finish_renewal(&self) {
        self.reporter.tokens.finish_renewal().await;
    }

    /// Shares the places at the vendor with other replicas from now on. This replica has one place until it hears the others, or cannot
    /// hear them.
    pub fn begin_sharing(&self) {
        self.reporter.places.begin_sharing();
    }

    /// This process's use of the vendor, for other replicas to hear. It gives up the places that it does not want.
    #[must_use]
    pub fn tell(&self) -> VendorUse {
        VendorUse {
            places: self.reporter.places.tell(),
            throttled: self.reporter.throttle.own(Instant::now()),
        }
    }

    /// Adopts what the other replicas have told. From now on, this replica has `places` places (at least one). If it `is_alone`, it keeps
    /// even those that it does not want. It does not call the vendor for `throttled`.
    pub fn hear(&self, places: usize, is_alone: bool, throttled: Duration) {
        self.reporter.throttle.hear(Instant::now(), throttled);
        self.reporter.places.share(places, is_alone);
    }

    /// Carries on while the other replicas cannot be heard; there are `replicas`, this one included. It gets an equal part of the places,
    /// and keeps more until it `is_silent` to them.
    pub fn miss(&self, replicas: usize, is_silent: bool) {
        self.reporter.places.share_equally(replicas, is_silent);
    }

    /// Waits until other replicas should hear of this process at once: the vendor has throttled it, or it needs more places.
    pub async fn until_urgent(&self) {
        self.reporter.urgent.notified().await;
    }

    /// Updates the gauges of waiting reports, places and tokens.
    pub fn measure(&self) {
        let reporter = &self.reporter;
        let left = reporter.tokens.time_left();
        let now = reporter.clock.now().as_duration().as_secs_f64();
        let expiry = left.map(|left| now + left.as_secs_f64());
        let places = (reporter.max_concurrency(), reporter.places.own());
        telemetry::measure(reporter.places.waiting(), places, expiry);
    }

    /// State of the vendor and of Pitaya's tokens.
    #[must_use]
    pub fn status(&self) -> UpstreamStatus {
        let reporter = &self.reporter;
        UpstreamStatus {
            circuit: reporter.circuit.state(),
            throttled: reporter.throttle.remaining(Instant::now()).is_some(),
            tokens: reporter.tokens.state(),
            token_store: reporter.tokens.store_state(),
            token_sharing: reporter.tokens.sharing_state(),
        }
    }

    /// Whether the circuit would let a call through now.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.reporter.circuit.refuses(Instant::now()).is_none()
    }

    /// Whether nothing is requested of the vendor, and it would accept a call made now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.reporter.may_call().is_ok() && self.reporter.places.are_idle()
    }

    /// Maximum number of warming reports in flight.
    #[must_use]
    pub fn max_warming(&self) -> usize {
        self.reporter.settings.max_warming.max(1)
    }

    /// The sites of `customer` seen in the vendor's answers, in ascending order, with the names they have there.
    #[must_use]
    pub fn known_sites(&self, customer: CustomerId) -> Vec<(SiteId, Option<String>)> {
        self.learned.customer(customer).known().sites()
    }

    /// Number of changes to names that [`Self::site_name`] had returned before. Each change makes earlier answers of this customer
    /// outdated.
    #[must_use]
    pub fn names_changed(&self, customer: CustomerId) -> u64 {
        self.learned.customer(customer).names_changed()
    }

    /// The name to show for `site`, as the vendor gives it.
    #[must_use]
    pub fn site_name(&self, customer: CustomerId, site: SiteId) -> Option<String> {
        self.learned.customer(customer).known().show_name(site)
    }

    /// The vendor's name of `site`, as learned.
    #[must_use]
    pub fn vendor_site(&self, customer: CustomerId, site: SiteId) -> VendorSite {
        self.learned.customer(customer).known().vendor_site(site)
    }

    /// The configured bounds of one report.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        self.limits.bounds()
    }

    /// The reports that are requested instead of `report` at `now`, within the sizes that the vendor is known to answer.
    #[must_use]
    pub fn parts(&self, report: &ReportRequest, now: Timestamp) -> Vec<ReportRequest> {
        self.limits.split(report, now)
    }

    /// Forgets everything learned about these sites (`None`: all sites), including what a fetch already in progress would teach.
    pub fn forget(&self, customer: CustomerId, sites: Option<&BTreeSet<SiteId>>, at: Timestamp) {
        self.learned.customer(customer).known().forget(sites, at);
    }

    /// The parts of the learned facts whose revision differs from that in `known`: name, revision and content of each. They should outlive
    /// the process.
    #[must_use]
    pub fn learned(&self, known: &HashMap<String, u64>) -> Vec<(String, u64, Vec<u8>)> {
        let sizes = self.limits.kept(known.get(SIZES).copied());
        let sizes = sizes.map(|(revision, kept)| (SIZES.to_owned(), revision, kept));
        let customers = self.learned.customers().filter_map(|(id, customer)| {
            let name = format!("{SITES}{id}");
            let (revision, kept) = customer.kept(known.get(&name).copied())?;
            Some((name, revision, kept))
        });
        sizes.into_iter().chain(customers).collect()
    }

    /// Restores a part that an earlier process had [`learned`](Self::learned), unless this process knows something newer. Returns
    /// false if it cannot read `content`.
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
