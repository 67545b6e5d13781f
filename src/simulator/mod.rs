//! The simulated vendor that the demo, `pitaya simulate` and the tests share: real sockets, the vendor's protocol, deterministic
//! figures, tokens that expire and rotate, and every fault and quirk that Pitaya promises to survive.
//!
//! `sites` → `day` (what happens) → `truth` (in buckets) → `rows` (as the quirks have them) → `report` (on the wire) is the way of
//! a figure; `server` takes calls, `tokens` guards them, `active_faults` and `answer` spoil them, `ledger` counts them.

mod active_faults;
mod answer;
mod control;
mod day;
mod example;
mod fault;
mod fault_text;
mod fault_words;
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

pub use example::EXAMPLE_ANSWER;
pub use fault::{Endpoint, Fault, FaultKind, MARKER, Rate, RetryAfter, RowFault, Size};
pub use fault_text::{Faults, InvalidFaults};
pub use ledger::{Counts, ReportCall};
pub use pause::Hold;
pub use quirks::{
    ComputedAt, EmptyBuckets, FigureSource, FutureBuckets, Mapping, Quirks, RepeatedHour, Respelt,
    RowOrder,
};
pub use settings::{Rotation, Settings, TokenAnswer, TokenSettings};
pub use sites::{DEMO_CUSTOMER, DEMO_SITES, DemoSite, Opening, Site};
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

/// A running simulator. Clones are handles of the same one; it stops when the last is dropped, or on [`Self::shutdown`].
#[derive(Clone, Debug)]
pub struct Simulator {
    world: Arc<World>,
    address: SocketAddr,
    connections: TaskTracker,
    stop: Arc<DropGuard>,
}

impl Simulator {
    /// Starts a simulator that listens before this returns; today and expiry are told by `clock`.
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

    /// Drops every connection, under way or idle, and waits until the port is free.
    pub async fn shutdown(&self) {
        self.stop.token().cancel();
        self.connections.wait().await;
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of reports.
    #[must_use]
    pub fn base_url(&self) -> Url {
        self.url("/")
    }

    /// The URL at which tokens are renewed.
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
    /// The newest credentials: the first ones, until they are renewed.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.world.tokens().current().clone()
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

    /// Expires every ID token at once; refresh tokens stay good.
    pub fn expire_id_tokens(&self) {
        self.world.tokens().expire();
    }

    /// Refuses every token, as after the re-use of a dead one.
    pub fn revoke_all(&self) {
        self.world.tokens().revoke();
    }

    /// Issues new credentials as the vendor does by hand; all older ones are unknown from now on.
    #[must_use]
    pub fn reissue(&self) -> Credentials {
        self.world.tokens().reissue(self.world.now())
    }
}

/// Faults, quirks and late data.
impl Simulator {
    /// Switches a fault on, after those that are on already.
    pub fn inject(&self, fault: Fault) {
        self.world.faults().add(fault);
    }

    /// Switches every fault off.
    pub fn clear_faults(&self) {
        self.world.faults().clear();
    }

    /// Replaces the quirks.
    pub fn set_quirks(&self, quirks: Quirks) {
        self.world.set_quirks(quirks);
    }

    /// The quirks.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        self.world.view().quirks
    }

    /// Lets late data arrive: from now on each five minutes in which the site is open have one entrance more.
    pub fn revise(&self, revision: Revision) {
        self.world.revise(revision);
    }

    /// Keeps all answers to reports back until what is returned is dropped; figures are taken when a call arrives, before it waits.
    pub fn hold_reports(&self) -> Hold {
        self.world.reports_gate.hold()
    }

    /// Keeps all token calls back, before they have any effect, until what is returned is dropped.
    pub fn hold_refreshes(&self) -> Hold {
        self.world.tokens_gate.hold()
    }
}

/// What was asked, and the truth.
impl Simulator {
    /// The report calls so far (the newest 100,000), in the order in which they arrived, refused ones too.
    #[must_use]
    pub fn reports(&self) -> Vec<ReportCall> {
        self.world.ledger.calls()
    }

    /// How often each cell was part of a whole and true answer.
    #[must_use]
    pub fn cell_fetches(&self) -> HashMap<CellKey, u32> {
        self.world.ledger.cell_fetches()
    }

    /// All counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.world.ledger.counts()
    }

    /// Report calls that arrived, refused ones too.
    #[must_use]
    pub fn report_count(&self) -> u64 {
        self.counts().reports
    }

    /// Token calls that arrived, refused ones too.
    #[must_use]
    pub fn refresh_count(&self) -> u64 {
        self.counts().refreshes
    }

    /// Token calls with a refresh token that was dead.
    #[must_use]
    pub fn reused_tokens(&self) -> u64 {
        self.counts().reused_tokens
    }

    /// Forgets all calls and counts from zero.
    pub fn reset_counts(&self) {
        self.world.ledger.reset();
    }

    /// Waits until that many report calls have arrived since the counts were last reset.
    pub async fn wait_for_reports(&self, reports: u64) {
        let enough = |counts: &Counts| counts.reports >= reports;
        self.world.ledger.wait_until(enough).await;
    }

    /// Waits until that many token calls have arrived since the counts were last reset.
    pub async fn wait_for_refreshes(&self, refreshes: u64) {
        let enough = |counts: &Counts| counts.refreshes >= refreshes;
        self.world.ledger.wait_until(enough).await;
    }

    /// The figures of a cell as they would be answered now, slot by slot, as [`Cell`](crate::domain::cell::Cell) orders them.
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
