//! The rate limit of each client, and its header fields (draft-ietf-httpapi-ratelimit-headers).

use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::settings::RateLimit;

/// Field with the rest of the limit, and the time until it is full again.
pub(in crate::http) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Field with the limit itself.
pub(in crate::http) const RATELIMIT_POLICY: HeaderName =
    HeaderName::from_static("ratelimit-policy");

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Limit of one client, and its current use.
#[derive(Debug)]
pub(super) struct ClientLimit {
    limiter: Limiter,
    limit: RateLimit,
    /// Time after which one more request is allowed.
    interval: Duration,
    policy: HeaderValue,
}

/// State of a client's limit after one of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Standing {
    policy: HeaderValue,
    remaining: u32,
    reset: u64,
    /// Time to wait if the request exceeds the limit.
    pub(in crate::http) wait: Option<Duration>,
}

impl ClientLimit {
    pub(super) fn new(limit: RateLimit) -> Self {
        let interval = limit.period / limit.requests.get();
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_second(limit.requests))
            .allow_burst(limit.requests);
        let policy = format!(
            r#""default";q={};w={}"#,
            limit.requests,
            limit.period.as_secs().max(1)
        );
        Self {
            limiter: RateLimiter::direct(quota).with_middleware(),
            limit,
            interval,
            policy: HeaderValue::try_from(policy).expect("visible ASCII"),
        }
    }

    /// Whether this is a limit of that many requests in that period.
    pub(super) fn is_of(&self, limit: RateLimit) -> bool {
        self.limit == limit
    }

    /// Counts a request.
    pub(super) fn count(&self) -> Standing {
        let (remaining, wait) = match self.limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refusal) => {
                let wait = refusal.wait_time_from(self.limiter.clock().now());
                (0, Some(wait))
            }
        };
        let spent = self.limit.requests.get().saturating_sub(remaining);
        let until_whole = self.interval.saturating_mul(spent);
        Standing {
            policy: self.policy.clone(),
            remaining,
            reset: until_whole.as_secs() + u64::from(until_whole.subsec_nanos() > 0),
            wait,
        }
    }
}

impl Standing {
    /// Writes its header fields.
    pub(in crate::http) fn write(self, headers: &mut HeaderMap) {
        let (rest, policy) = self.into_values();
        headers.insert(RATELIMIT, rest);
        headers.insert(RATELIMIT_POLICY, policy);
    }

    /// The values of both fields: the rest, and the limit.
    pub(super) fn into_values(self) -> (HeaderValue, HeaderValue) {
        let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (remaining, reset) = (remaining.format(self.remaining), reset.format(self.reset));
        let standing = [r#""default";r="#, remaining, ";t=", reset].concat();
        let standing =
            HeaderValue::try_from(standing).expect("plain ASCII is a valid header value");
        (standing, self.policy)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limit(requests: u32, period: Duration) -> ClientLimit {
        ClientLimit::new(RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            period,
        })
    }

    #[test]
    fn a_client_may_use_its_whole_limit_at_once_and_then_waits() {
        let limit = limit(3, Duration::from_hours(1));

        let standings: Vec<_> = (0..4).map(|_| limit.count()).collect();

        let remaining: Vec<_> = standings
            .iter()
            .map(|standing| standing.remaining)
            .collect();
        assert_eq!(remaining, [2, 1, 0, 0]);
        assert!(
            standings[..3]
                .iter()
                .all(|standing| standing.wait.is_none())
        );
        assert!(standings[3].wait.is_some_and(|wait| wait > Duration::ZERO));
    }

    #[test]
    fn the_fields_show_limit_window_and_rest() {
        let mut headers = HeaderMap::new();

        limit(60, Duration::from_mins(1))
            .count()
            .write(&mut headers);

        assert_eq!(headers[RATELIMIT_POLICY], r#""default";q=60;w=60"#);
        assert_eq!(headers[RATELIMIT], r#""default";r=59;t=1"#);
    }
}
