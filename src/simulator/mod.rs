//! The simulated vendor that the demo, `pitaya simulate` and the tests share: real sockets, the vendor's protocol, deterministic
//! figures, tokens that expire and rotate, and every fault and quirk that Pitaya promises to survive.
//!
//! A figure passes through `sites` → `day` (events) → `truth` (buckets) → `rows` (quirks applied) → `report` (wire format). `server` takes
//! calls, `tokens` authorizes them, `active_faults` and `answer` inject faults, `ledger` counts.

mod active_faults;
mod answer;
mod control;
mod day;
mod demo;
mod example;
mod fault;
mod fault_text;
mod hash;
mod ledger;
mod pause;
mod quirks;
mod report;
mod request;
mod rows;
mod server;
mod settings;
mod sites;
mod tokens;
mod truth;
mod view;
mod world;

#[cfg(test)]
mod tests;

pub use demo::{Chain, DEMO_CUSTOMER, DEMO_SITES, DemoSite};
pub use example::EXAMPLE_ANSWER;
pub use fault::{Fault, FaultKind, MARKER, Rate, RetryAfter, RowFault};
pub use fault_text::{Faults, InvalidFaults};
pub use ledger::{Counts, ReportCall};
pub use pause::Hold;
pub use quirks::{
    ComputedAt, EmptyBuckets, FigureSource, FutureBuckets, Mapping, Quirks, RepeatedHour, Respelt,
    RowOrder,
};
pub use settings::{Rotation, Settings, TokenAnswer, TokenSettings};
pub use sites::{Opening, Site};
pub use tokens::Credentials;
pub use view::Revision;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

use self::world::World;
use crate::clock::Clock;
use crate::domain::bucket::DAY_MINUTES;
use crate::domain::cell::CellKey;

/// A running simulator. Clones are handles to the same one; it stops when the last is dropped, or on [`Self::shutdown`].
#[derive(Clone, Debug)]
pub struct Simulator {
    world: Arc<World>,
    address: SocketAddr,
    connections: TaskTracker,
    stop: Arc<DropGuard>,
}

impl Simulator {
    /// Starts a simulator, which listens before this returns; `clock` determines today and token expiry.
    pub async fn start(settings: Settings, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let world = Arc::new(World::new(settings, clock, address.port()));
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        connections.spawn(server::serve(
            listener,
            Arc::clone(&world),
            stop.clone(),
            connections.clone(),
        ));
        connections.close();
        Ok(Self {
            world,
            address,
            connections,
            stop: Arc::new(stop.drop_guard()),
        })
    }

    /// Drops every connection, busy or idle, and waits until the port is free.
    pub async fn shutdown(&self) {
        self.stop.token().cancel();
        self.connections.wait().await;
    }

    /// Address of the listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL of reports.
    #[must_use]
    pub fn base_url(&self) -> Url {
        self.url("/")
    }

    /// URL of token renewal.
    #[must_use]
    pub fn token_url(&self) -> Url {
        self.url("/get_new_tokens")
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address))
            .unwrap_or_else(|error| unreachable!("an address makes a URL: {error}"))
    }
}

/// Credentials.
impl Simulator {
    /// The newest credentials: the initial ones until the first renewal.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.world.tokens.lock().current.clone()
    }

    /// The newest refresh token.
    #[must_use]
    pub fn refresh_token(&self) -> String {
        self.credentials().refresh_token
    }

    /// The newest ID token.
    #[must_use]
    pub fn id_token(&self) -> String {
        self.credentials().id_token
    }

    /// Expires every ID token at once; refresh tokens stay valid.
    pub fn expire_id_tokens(&self) {
        self.world.tokens.lock().expire();
    }

    /// Refuses every token, as after the reuse of a dead one.
    pub fn revoke_all(&self) {
        self.world.tokens.lock().revoke();
    }

    /// Issues new credentials, as the vendor does by hand, and invalidates all older ones.
    #[must_use]
    pub fn reissue(&self) -> Credentials {
        self.world.tokens.lock().reissue(self.world.now())
    }
}

/// Faults, quirks and late data.
impl Simulator {
    /// Activates a fault, after those already active.
    pub fn inject(&self, fault: Fault) {
        self.world.faults.lock().faults.push(fault);
    }

    /// Deactivates every fault.
    pub fn clear_faults(&self) {
        self.world.faults.lock().faults.clear();
    }

    /// Replaces the quirks.
    pub fn set_quirks(&self, quirks: Quirks) {
        *self.world.quirks.write() = quirks;
    }

    /// The quirks.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        self.world.quirks.read().clone()
    }

    /// Lets late data arrive: from now on, each five minutes in which the site is open have one more entrance.
    pub fn revise(&self, revision: Revision) {
        self.world.revisions.write().push(revision);
    }

    /// Delays all report answers until the returned guard is dropped. Figures are computed when a call arrives, before it waits.
    pub fn hold_reports(&self) -> Hold {
        self.world.reports_gate.hold()
    }

    /// Delays all token calls, before they take effect, until the returned guard is dropped.
    pub fn hold_refreshes(&self) -> Hold {
        self.world.tokens_gate.hold()
    }
}

/// Calls received, and the truth.
impl Simulator {
    /// Report calls so far (the newest 100,000), in order of arrival, including refused ones.
    #[must_use]
    pub fn reports(&self) -> Vec<ReportCall> {
        self.world.ledger.calls()
    }

    /// Number of whole and true answers that included each cell.
    #[must_use]
    pub fn cell_fetches(&self) -> HashMap<CellKey, u32> {
        self.world.ledger.cell_fetches()
    }

    /// All counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.world.ledger.counts()
    }

    /// Report calls received, including refused ones.
    #[must_use]
    pub fn report_count(&self) -> u64 {
        self.counts().reports
    }

    /// Token calls received, including refused ones.
    #[must_use]
    pub fn refresh_count(&self) -> u64 {
        self.counts().refreshes
    }

    /// Token calls with a dead refresh token.
    #[must_use]
    pub fn reused_tokens(&self) -> u64 {
        self.counts().reused_tokens
    }

    /// Forgets all calls and restarts counting from zero.
    pub fn reset_counts(&self) {
        self.world.ledger.reset();
    }

    /// Waits until `reports` report calls have arrived since the counts were last reset.
    pub async fn wait_for_reports(&self, reports: u64) {
        let enough = |counts: &Counts| counts.reports >= reports;
        self.world.ledger.wait_until(enough).await;
    }

    /// Waits until `refreshes` token calls have arrived since the counts were last reset.
    pub async fn wait_for_refreshes(&self, refreshes: u64) {
        let enough = |counts: &Counts| counts.refreshes >= refreshes;
        self.world.ledger.wait_until(enough).await;
    }

    /// The figures of a cell that the simulator would answer now, slot by slot, in the order of [`Cell`](crate::domain::cell::Cell).
    #[must_use]
    pub fn figures(&self, cell: &CellKey) -> Vec<Option<f64>> {
        let view = self.world.view();
        let site = view.site(cell.site);
        view.day(
            cell.customer,
            &site,
            cell.date,
            cell.bucket,
            &(0..DAY_MINUTES),
        )
        .figures(cell.metric)
    }
}
