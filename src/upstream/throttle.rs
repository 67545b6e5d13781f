//! The vendor's `Retry-After`: read, bounded, and respected by every report.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Longest pause that we accept from `Retry-After`.
const LONGEST: Duration = Duration::from_mins(1);
/// The pause after a 429 without `Retry-After`.
pub(super) const DEFAULT: Duration = Duration::from_secs(1);

/// When we may call the vendor again, after it has throttled this process or another replica.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    until: Option<Instant>,
    /// The same, but only by the vendor's answers to this process. If processes repeated what they hear from each other, the pause would
    /// never end.
    own: Option<Instant>,
}

impl Throttle {
    /// The time from `now` during which calls are not allowed.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        left(self.0.lock().until, now)
    }

    /// The time from `now` during which the vendor's answers to this process forbid calls.
    pub(super) fn own(&self, now: Instant) -> Option<Duration> {
        left(self.0.lock().own, now)
    }

    /// Holds all reports back for `wait` from `now`, at most [`LONGEST`], as the vendor has requested.
    pub(super) fn hold(&self, now: Instant, wait: Duration) {
        let mut held = self.0.lock();
        extend(&mut held.until, now, wait);
        extend(&mut held.own, now, wait);
    }

    /// The same, as the vendor has requested of another replica.
    pub(super) fn hear(&self, now: Instant, wait: Duration) {
        extend(&mut self.0.lock().until, now, wait);
    }
}

fn left(until: Option<Instant>, now: Instant) -> Option<Duration> {
    let left = until.map(|until| until.saturating_duration_since(now));
    left.filter(|wait| !wait.is_zero())
}

fn extend(until: &mut Option<Instant>, now: Instant, wait: Duration) {
    *until = (*until).max(Some(now + wait.min(LONGEST)));
}

/// The pause that `headers` request, in seconds or as a date (RFC 9110, section 10.2.3), [`LONGEST`] at most.
///
/// A date is relative to the vendor's own clock if the answer has it, so that a wrong clock on either side does not matter.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number with too many digits is a very long time.
        return Some(
            text.parse()
                .map_or(LONGEST, Duration::from_secs)
                .min(LONGEST),
        );
    }
    let wait = http_date(text)?.duration_since(date(headers).unwrap_or(now));
    Some(Duration::try_from(wait).unwrap_or_default().min(LONGEST))
}

/// The time of the answer by the vendor's own clock.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        let now = "2026-11-06T08:49:30Z".parse().unwrap();
        super::retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_never_trusted_beyond_a_minute() {
        assert_eq!(wait("7", None), Some(7));
        assert_eq!(wait("3600", None), Some(60));
        assert_eq!(wait("99999999999999999999999", None), Some(60));
        assert_eq!(wait("Fri, 06 Nov 2026 08:49:37 GMT", None), Some(7));
        assert_eq!(wait("Fri, 06 Nov 2026 08:49:00 GMT", None), Some(0));
        assert_eq!(wait("Fri, 06 Nov 2099 08:49:00 GMT", None), Some(60));
        let fast_clock = Some("Fri, 06 Nov 2026 08:59:00 GMT");
        assert_eq!(wait("Fri, 06 Nov 2026 08:59:05 GMT", fast_clock), Some(5));
        for garbage in ["soon", "-3", "1.5", ""] {
            assert_eq!(wait(garbage, None), None, "{garbage}");
        }
    }

    #[test]
    fn a_shorter_hold_does_not_shorten_a_longer_one() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.remaining(now), None);

        throttle.hold(now, Duration::from_secs(9));
        throttle.hold(now, Duration::from_secs(2));
        throttle.hold(now, Duration::ZERO);

        assert_eq!(throttle.remaining(now), Some(Duration::from_secs(9)));
        assert_eq!(throttle.remaining(now + Duration::from_secs(9)), None);
    }

    #[test]
    fn what_another_replica_was_told_holds_and_is_not_told_again() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let seconds = Duration::from_secs;

        throttle.hold(now, seconds(5));
        throttle.hear(now, seconds(9));
        throttle.hear(now, seconds(3));
        throttle.hear(now, seconds(3600));

        assert_eq!(throttle.own(now), Some(seconds(5)));
        assert_eq!(throttle.remaining(now), Some(LONGEST));
        assert_eq!(throttle.own(now + seconds(5)), None);
    }
}
