//! The exchange of learned facts. A replica tells what it learned before it writes the cells that came with it, and hears what others
//! learned before it uses their cells.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::core::{Core, Exchange};
use super::scripts::LEARNED;
use crate::store::{Cmd, Unavailable, cmd};

/// Number of attempts to tell: replicas that start together tell what they have learned at the same time.
const TRIES: usize = 8;

/// The longest pause between attempts while cells wait.
const PAUSE: Duration = Duration::from_millis(250);

impl Core {
    /// Hears what other replicas have learned, if the store's `revision` is another than the one last heard. Then, if it `is_due`, tells
    /// what this replica has learned since.
    pub(super) async fn exchange_knowledge(&self, revision: u64, is_due: bool) {
        let limit = 2 * self.settings.timeout;
        let mut exchange = self.exchange.lock().await;
        if self.hear(&mut exchange, revision, limit).await && is_due {
            // If this fails, a later pulse tries again.
            let _ = self.tell(&mut exchange, limit).await;
        }
    }

    /// Tells what this replica has learned since, so that the facts are in the store before the cells that rest on them. Tries for half the
    /// duration of a lease, and returns whether it succeeded.
    pub(super) async fn tell_first(&self) -> bool {
        let until = Instant::now() + self.settings.lease / 2;
        loop {
            let mut exchange = self.exchange.lock().await;
            let told = self.tell(&mut exchange, 2 * self.settings.timeout).await;
            drop(exchange);
            match told {
                Ok(true) => return true,
                Err(Unavailable::Refused(_) | Unavailable::Skipped) => return false,
                Ok(false) | Err(_) if Instant::now() >= until => return false,
                Ok(false) | Err(_) => {}
            }
            // The random pause spreads the attempts of replicas that collided.
            sleep(rand::random_range(Duration::ZERO..PAUSE)).await;
        }
    }

    /// Hears the facts learned with cells that were found, if there is time.
    pub(super) async fn hear_first(&self, until: Instant) {
        let hearing = async {
            let left = || until.saturating_duration_since(Instant::now());
            let mut get = cmd("GET");
            let get = get.arg(self.fleet_key("known-revision"));
            if let Ok(Some(revision)) = self.link.query::<Option<u64>>(get, left()).await {
                let mut exchange = self.exchange.lock().await;
                self.hear(&mut exchange, revision, left()).await;
            }
        };
        let _ = timeout_at(until, hearing).await;
    }

    /// Reads what other replicas have learned, and returns whether this replica is now up to date.
    async fn hear(&self, exchange: &mut Exchange, revision: u64, limit: Duration) -> bool {
        if exchange.heard == Some(revision) {
            return true;
        }
        let mut all = cmd("HGETALL");
        let parts = self.link.query(all.arg(self.fleet_key("known")), limit);
        let Ok(parts): Result<HashMap<String, Vec<u8>>, _> = parts.await else {
            return false;
        };
        for (name, sealed) in parts {
            let content = self.codec.open(&self.codec.known_name(&name), &sealed);
            if !content.is_some_and(|content| self.knowledge.restore(&name, content)) {
                tracing::warn!(name, "cannot decode learned facts in the shared store");
            }
        }
        // The store was emptied, so what this replica told is lost.
        if exchange.heard.is_some_and(|heard| revision < heard) {
            exchange.told.clear();
        }
        exchange.heard = Some(revision);
        true
    }

    /// Tells what has changed here. If another replica was faster, hears that first and tries again. Returns false if that happened each
    /// time, or if hearing failed.
    async fn tell(&self, exchange: &mut Exchange, limit: Duration) -> Result<bool, Unavailable> {
        for _ in 0..TRIES {
            let changed = self.knowledge.changed(&exchange.told);
            if changed.is_empty() {
                return Ok(true);
            }
            let heard = exchange.heard;
            let arguments = |command: &mut Cmd| {
                command.arg(heard.map_or_else(String::new, |heard| heard.to_string()));
                for part in &changed {
                    let name = self.codec.known_name(&part.name);
                    let sealed = self.codec.seal(&name, part.content.clone());
                    command.arg(&part.name).arg(sealed);
                }
            };
            let keys = ["known", "known-revision"].map(|it| self.fleet_key(it));
            let answer = self
                .link
                .eval::<(u8, u64)>(&LEARNED, &keys, arguments, limit);
            let answer = answer.await;
            self.note(answer.as_ref().err());
            match answer? {
                (1, revision) => {
                    let told = changed.into_iter().map(|part| (part.name, part.revision));
                    exchange.told.extend(told);
                    exchange.heard = Some(revision);
                    return Ok(true);
                }
                (_, revision) => {
                    if !self.hear(exchange, revision, limit).await {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }
}
