//! The tokens' register in the store that replicas share, a Valkey or a Redis.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::token_register::{Away, Seen, Swapped, TokenRegister};
use crate::store::{Cmd, Link, Script};

/// Time limit of a call.
const LIMIT: Duration = Duration::from_millis(100);

/// Reads `KEYS[1]`. If `ARGV[1]` is "swap", replaces the value `ARGV[3]` there by `ARGV[4]`, but only after `ARGV[2]` milliseconds of the
/// store's life.
///
/// `KEYS[2]` holds the server's identity and the time of its first use. An empty store has no identity there, and a server that has
/// restarted, or has taken over from another, has a different one. Either way, writes may be lost, and a new life begins.
const SCRIPT: &str = r"#!lua flags=allow-oom
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '-'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known, since = string.match(redis.call('GET', KEYS[2]) or '', '^(%S+) (%d+)$')
since = tonumber(since)
if known ~= run or not since or since > now then
  since = now
  redis.call('SET', KEYS[2], run .. ' ' .. string.format('%.0f', now))
end
local value = redis.call('GET', KEYS[1]) or ''
local done = 0
if ARGV[1] == 'swap' and value == ARGV[3] and now - since >= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[4])
  value = ARGV[4]
  done = 1
end
return {done, now, now - since, value}
";

/// The tokens' register over the link to the shared store.
pub struct TokensInStore {
    link: Link,
    prefix: String,
    script: Script,
}

impl TokensInStore {
    /// The register behind `link`, whose keys begin with `prefix`.
    #[must_use]
    pub fn new(link: Link, prefix: &str) -> Self {
        Self {
            link,
            prefix: prefix.to_owned(),
            script: Script::new(SCRIPT),
        }
    }

    async fn run(&self, name: &str, arguments: impl Fn(&mut Cmd)) -> Result<Swapped, Away> {
        // The braces keep both keys on one node of a cluster.
        let key = |kind| format!("{}:1:{{t.{name}}}:{kind}", self.prefix);
        let keys = [key('v'), key('i')];
        let reply = self.link.eval(&self.script, &keys, arguments, LIMIT).await;
        let (done, now_ms, life_ms, value): (i64, i64, u64, Vec<u8>) = reply.map_err(|error| {
            tracing::debug!(%error, "cannot exchange the tokens with the shared store");
            Away
        })?;
        Ok(Swapped {
            done: done == 1,
            seen: Seen {
                value: (!value.is_empty()).then_some(value),
                now_ms,
                life: Duration::from_millis(life_ms),
            },
        })
    }
}

impl TokenRegister for TokensInStore {
    fn look<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Seen, Away>> {
        async move {
            let looked = self.run(name, |command| _ = command.arg("look")).await?;
            Ok(looked.seen)
        }
        .boxed()
    }

    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        min_life: Duration,
    ) -> BoxFuture<'a, Result<Swapped, Away>> {
        let min_life = u64::try_from(min_life.as_millis()).unwrap_or(u64::MAX);
        self.run(name, move |command| {
            let command = command.arg("swap").arg(min_life);
            command.arg(expected.unwrap_or_default()).arg(new);
        })
        .boxed()
    }
}

impl fmt::Debug for TokensInStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokensInStore").finish_non_exhaustive()
    }
}
