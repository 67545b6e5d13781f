//! The pulse: hearing the other replicas, and telling them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::core::Core;
use super::register::{ALIVE, Heard, text};
use super::scripts::{PULSE, PURGE, PUT_BACK};
use crate::store::{Cmd, Unavailable, Value, cmd};
use crate::tier::Left;

impl Core {
    /// Registers this replica's purges, tells the others which purges it has made and which places it wants, and hears the same of them.
    /// Returns the revision of the learned facts.
    pub(super) async fn pulse(&self) -> Result<u64, Unavailable> {
        let limit = 2 * self.settings.timeout;
        let keys = [
            "epoch",
            "purges",
            "inc",
            "live",
            "known-revision",
            "places",
            "throttle",
            "begun",
        ];
        let keys = keys.map(|it| self.fleet_key(it));
        let unregistered = self.register.lock().unregistered();
        for purge in unregistered {
            let text = text(&purge);
            let least = self.register.lock().numbers().0 + 1;
            let arguments = |command: &mut Cmd| _ = command.arg(least).arg(&text);
            let number = self.link.eval(&PURGE, &keys[..2], arguments, limit);
            let number = number.await?;
            self.register.lock().numbered(&purge, number);
        }
        let (made, number, incarnation) = {
            let register = self.register.lock();
            let (number, made) = register.numbers();
            (made, number, register.incarnation())
        };
        let told = self.allowance.tell();
        let arguments = |command: &mut Cmd| {
            command.arg(&self.replica).arg(made).arg(incarnation);
            command
                .arg(rand::random_range(1..=u32::MAX))
                .arg(ALIVE.as_millis())
                .arg(number);
            command.arg(told.places).arg(told.wanted).arg(told.held);
            command.arg(told.throttled.as_millis());
        };
        let (began, before) = (Instant::now(), self.clock.now());
        let heard = self.link.eval(&PULSE, &keys, arguments, limit).await?;
        let (heard, (places, throttled)): (Heard, (usize, u64)) = heard;
        let half = SignedDuration::try_from(began.elapsed() / 2).unwrap_or_default();
        let micros = heard.0.saturating_mul(1_000_000).saturating_add(heard.1);
        let (lost, not_all_of) = {
            let mut register = self.register.lock();
            let replicas = register.replicas();
            if let Ok(now) = Timestamp::from_microsecond(micros) {
                register.set_offset(now.duration_since(before) - half, half);
            }
            let lost = register.hear(&heard, Instant::now());
            (lost, register.was_emptied().then_some(replicas))
        };
        match not_all_of {
            // The others still have their places, and may not have noticed that the store was emptied.
            Some(replicas) => self.allowance.miss(replicas, false),
            None => self.allowance.hear(Left {
                places,
                is_alone: heard.5.is_empty(),
                throttled: Duration::from_millis(throttled),
            }),
        }
        if !lost.is_empty() {
            tracing::warn!(
                purges = lost.len(),
                "the shared store had lost purges: Pitaya puts them back"
            );
            let arguments = |command: &mut Cmd| {
                for (number, text) in &lost {
                    command.arg(number).arg(text);
                }
            };
            let put_back = self
                .link
                .eval::<()>(&PUT_BACK, &keys[..2], arguments, limit);
            put_back.await?;
        }
        self.news.notify_waiters();
        Ok(heard.6)
    }

    /// Checks whether the store, when its memory is full, evicts pages and nothing else.
    pub(super) async fn look_at_the_policy(&self) {
        let (mut info, limit) = (cmd("INFO"), 2 * self.settings.timeout);
        let Ok(info) = self.link.query::<Value>(info.arg("memory"), limit).await else {
            return;
        };
        let policies = texts(&info).into_iter().filter_map(|info| {
            let value = |name: &str| {
                let mut lines = info.lines();
                lines.find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
            };
            let policy = value("maxmemory_policy")?.to_owned();
            Some((value("maxmemory") != Some("0"), policy))
        });
        let mut policies =
            policies.filter(|(is_limited, policy)| !is_limited || !policy.starts_with("volatile-"));
        let wrong = policies.next();
        let never_evicts = wrong.is_some();
        if let (Some((_, policy)), false) = (
            wrong,
            self.never_evicts.swap(never_evicts, Ordering::Relaxed),
        ) {
            tracing::warn!(
                policy,
                "the shared store should have a maxmemory, and the maxmemory-policy volatile-lru"
            );
        }
    }
}

/// The texts in a reply: one for a single server, or one for each node of a cluster.
fn texts(reply: &Value) -> Vec<String> {
    match reply {
        Value::BulkString(text) => vec![String::from_utf8_lossy(text).into_owned()],
        Value::VerbatimString { text, .. } => vec![text.clone()],
        Value::Map(nodes) => nodes.iter().flat_map(|(_, info)| texts(info)).collect(),
        _ => Vec::new(),
    }
}
