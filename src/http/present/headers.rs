//! The header fields about an answer's source and freshness.

use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::coverage::Summary;
use crate::service::{CacheOutcome, Forward, Stale, Timings};

/// The value of `Vary`: an answer depends on its format, its coding, the caller and the origin.
pub const VARY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Encoding, Authorization, Origin");

/// The value of `Server-Timing` for an already rendered answer, which takes no steps.
pub const NO_STEPS: HeaderValue = HeaderValue::from_static(
    "plan;dur=0.000, vendor;dur=0.000, rollup;dur=0.000, render;dur=0.000",
);

/// Whole seconds until `expires_at`, rounded down: negative after it.
#[must_use]
pub fn seconds_left(expires_at: Timestamp, now: Timestamp) -> i64 {
    (expires_at.as_millisecond() - now.as_millisecond()).div_euclid(1000)
}

/// The largest `max-age` of `Cache-Control`.
#[derive(Clone, Debug)]
pub struct LongestAge {
    seconds: u64,
    /// The value for answers that expire later than this, as most do.
    told: HeaderValue,
}

impl LongestAge {
    /// The whole seconds of `age`.
    #[must_use]
    pub fn new(age: Duration) -> Self {
        let seconds = age.as_secs();
        Self {
            seconds,
            told: max_age(seconds),
        }
    }
}

/// The value of `Cache-Control` of an answer that expires in `seconds_left`; no cache may store an answer that is not `whole`.
#[must_use]
pub fn cache_control(whole: bool, seconds_left: i64, longest: &LongestAge) -> HeaderValue {
    if !whole {
        return HeaderValue::from_static("no-store");
    }
    let seconds_left = u64::try_from(seconds_left).unwrap_or(0);
    if seconds_left < longest.seconds {
        max_age(seconds_left)
    } else {
        longest.told.clone()
    }
}

fn max_age(seconds: u64) -> HeaderValue {
    value(["private, max-age=", itoa::Buffer::new().format(seconds)].concat())
}

/// The value of `Pitaya-As-Of`: a date of RFC 9651.
pub(super) fn as_of(time: Timestamp) -> HeaderValue {
    value(format!("@{}", time.as_second()))
}

/// The value of `Pitaya-Provisional-From`: a string of RFC 9651.
pub(super) fn provisional_from(date: Date) -> HeaderValue {
    value(format!("\"{date}\""))
}

/// The value of `Pitaya-Coverage`: a dictionary of RFC 9651, whose decimals have three places at most.
pub(super) fn coverage(coverage: Summary) -> HeaderValue {
    let rows = coverage.rows_below_1;
    let Some(min) = coverage.min else {
        return value(format!("rows={rows}"));
    };
    let min = format!("{min:.3}");
    let short = min.trim_end_matches('0');
    // A decimal has at least one place.
    let zero = if short.ends_with('.') { "0" } else { "" };
    value(format!("min={short}{zero}, rows={rows}"))
}

/// The value of `Pitaya-Stale`, only for answers with figures past their TTL: a boolean of RFC 9651.
pub const STALE: HeaderValue = HeaderValue::from_static("?1");

/// The value of `Cache-Status` (RFC 9211) of an answer that expires in `seconds_left`; Pitaya never stores failures.
#[must_use]
pub fn cache_status(outcome: CacheOutcome, whole: bool, seconds_left: i64) -> HeaderValue {
    let detail = match outcome.stale {
        Some(Stale::WhileRevalidate) => "; detail=\"stale-while-revalidate\"",
        Some(Stale::IfError) => "; detail=\"stale-if-error\"",
        None if outcome.circuit_open => "; detail=\"circuit-open\"",
        None => "",
    };
    let mut digits = itoa::Buffer::new();
    let ttl = digits.format(match outcome.stale {
        Some(_) => seconds_left.min(-1),
        None => seconds_left.max(0),
    });
    let source = match outcome.forward {
        Forward::Hit => return value(["pitaya; hit; ttl=", ttl, detail].concat()),
        Forward::Miss => "pitaya; fwd=miss",
        Forward::Partial => "pitaya; fwd=partial",
    };
    let stored = if whole {
        "; fwd-status=200; stored"
    } else {
        ""
    };
    let collapsed = if outcome.collapsed { "; collapsed" } else { "" };
    let ttl = match outcome.stale {
        Some(_) => ["; ttl=", ttl],
        None => ["", ""],
    };
    value([source, stored, collapsed, ttl[0], ttl[1], detail].concat())
}

/// The value of `Server-Timing` (W3C Server Timing), in milliseconds; `None` instead of [`NO_STEPS`].
#[must_use]
pub fn server_timing(timings: &Timings, render: Duration) -> Option<HeaderValue> {
    if *timings == Timings::default() && render.is_zero() {
        return None;
    }
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    Some(value(format!(
        "plan;dur={:.3}, vendor;dur={:.3}, rollup;dur={:.3}, render;dur={:.3}",
        milliseconds(timings.plan),
        milliseconds(timings.upstream),
        milliseconds(timings.rollup),
        milliseconds(render),
    )))
}

/// Converts `text` to a value, without a copy if it fills its memory exactly, as the result of `concat` does.
pub(super) fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("plain ASCII is a valid header value")
}

#[cfg(test)]
mod tests {
    use sfv::{ListEntry, Parser};

    use super::*;
    use crate::domain::coverage::Basis;

    fn status(forward: Forward, stale: Option<Stale>, whole: bool, seconds: i64) -> String {
        let outcome = CacheOutcome {
            forward,
            collapsed: forward == Forward::Partial,
            stale,
            circuit_open: !whole,
        };
        let value = cache_status(outcome, whole, seconds);
        let list: sfv::List = Parser::new(value.as_bytes()).parse().unwrap();
        assert!(matches!(&list[..], [ListEntry::Item(_)]));
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn cache_status_shows_the_source_of_figures() {
        assert_eq!(status(Forward::Hit, None, true, 42), "pitaya; hit; ttl=42");
        assert_eq!(
            status(Forward::Hit, Some(Stale::WhileRevalidate), true, -7),
            "pitaya; hit; ttl=-7; detail=\"stale-while-revalidate\""
        );
        assert_eq!(
            status(Forward::Hit, Some(Stale::IfError), true, 0),
            "pitaya; hit; ttl=-1; detail=\"stale-if-error\""
        );
        assert_eq!(
            status(Forward::Miss, None, true, 60),
            "pitaya; fwd=miss; fwd-status=200; stored"
        );
        assert_eq!(
            status(Forward::Partial, None, true, 60),
            "pitaya; fwd=partial; fwd-status=200; stored; collapsed"
        );
        assert_eq!(
            status(Forward::Miss, None, false, 60),
            "pitaya; fwd=miss; detail=\"circuit-open\""
        );
    }

    #[test]
    fn the_remaining_seconds_are_rounded_down() {
        let now: Timestamp = "2026-02-19T15:00:00.5Z".parse().unwrap();
        let left = |at: &str| seconds_left(at.parse().unwrap(), now);

        assert_eq!(left("2026-02-19T15:01:00Z"), 59);
        assert_eq!(left("2026-02-19T15:00:00.2Z"), -1);
        assert_eq!(left("2026-02-19T15:00:00.5Z"), 0);
    }

    #[test]
    fn cache_control_is_private_and_its_age_within_bounds() {
        let longest = LongestAge::new(Duration::from_mins(1));
        let cache_control = |whole, left| cache_control(whole, left, &longest);

        assert_eq!(cache_control(true, 60), "private, max-age=60");
        assert_eq!(cache_control(true, 61), "private, max-age=60");
        assert_eq!(cache_control(true, 59), "private, max-age=59");
        assert_eq!(cache_control(true, -60), "private, max-age=0");
        assert_eq!(cache_control(false, 60), "no-store");
    }

    #[test]
    fn the_fields_about_figures_are_structured_fields() {
        let item = |value: HeaderValue| -> sfv::BareItem {
            let item: sfv::Item = Parser::new(value.as_bytes()).parse().unwrap();
            item.bare_item
        };
        let time = |text: &str| as_of(text.parse().unwrap());

        assert_eq!(time("2026-02-19T15:03:24.811Z"), "@1771513404");
        assert_eq!(
            item(time("2026-02-19T15:03:24Z")).as_date(),
            Some(sfv::Date::from_unix_seconds(sfv::Integer::constant(
                1_771_513_404
            )))
        );
        let date = provisional_from("2026-02-18".parse().unwrap());
        assert_eq!(date, "\"2026-02-18\"");
        assert_eq!(item(date).as_string().unwrap().as_str(), "2026-02-18");
        assert_eq!(item(STALE).as_boolean(), Some(true));
    }

    #[test]
    fn coverage_is_a_dictionary() {
        let coverage = |min, rows_below_1| {
            let value = coverage(Summary {
                min,
                rows: rows_below_1,
                rows_below_1,
                basis: Basis::Days,
            });
            let dictionary: sfv::Dictionary = Parser::new(value.as_bytes()).parse().unwrap();
            assert_eq!(dictionary.len(), 1 + usize::from(min.is_some()));
            value.to_str().unwrap().to_owned()
        };

        assert_eq!(coverage(Some(0.31), 3), "min=0.31, rows=3");
        assert_eq!(coverage(Some(6.0 / 7.0), 1), "min=0.857, rows=1");
        assert_eq!(coverage(Some(1.0), 0), "min=1.0, rows=0");
        assert_eq!(coverage(Some(0.0), 2), "min=0.0, rows=2");
        assert_eq!(coverage(None, 0), "rows=0");
    }

    #[test]
    fn a_skipped_step_takes_no_time() {
        let took = |render| server_timing(&Timings::default(), render);

        assert_eq!(took(Duration::ZERO), None);
        assert_eq!(took(Duration::from_nanos(1)), Some(NO_STEPS));
    }

    #[test]
    fn server_timing_names_each_step() {
        let timings = Timings {
            plan: Duration::from_micros(1500),
            ..Timings::default()
        };

        let value = server_timing(&timings, Duration::from_nanos(1)).unwrap();

        assert_eq!(
            value,
            "plan;dur=1.500, vendor;dur=0.000, rollup;dur=0.000, render;dur=0.000"
        );
    }
}
