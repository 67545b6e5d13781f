//! The field `Date` of answers. The date of hyper stands still after the clock was set back, until the clock has caught up.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use jiff::Timestamp;

thread_local! {
    /// The last second that was written, and its text: most answers share it.
    static LAST: RefCell<Option<(i64, HeaderValue)>> = const { RefCell::new(None) };
}

/// The value of the field at `now` (RFC 9110, section 5.6.7); `None` for a year that the field cannot hold.
pub(in crate::http) fn value(now: Timestamp) -> Option<HeaderValue> {
    let second = now.as_second();
    LAST.with_borrow_mut(|last| match last {
        Some((known, value)) if *known == second => Some(value.clone()),
        _ => {
            let value = written(now)?;
            *last = Some((second, value.clone()));
            Some(value)
        }
    })
}

fn written(now: Timestamp) -> Option<HeaderValue> {
    let since_1970 = Duration::try_from(now.as_duration()).ok()?;
    let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_1970);
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_clock_wherever_it_goes() {
        for (now, text) in [
            ("2026-02-18T18:00:00.9Z", "Wed, 18 Feb 2026 18:00:00 GMT"),
            ("2026-02-18T18:00:01Z", "Wed, 18 Feb 2026 18:00:01 GMT"),
            ("2026-02-18T17:00:00Z", "Wed, 18 Feb 2026 17:00:00 GMT"),
        ] {
            assert_eq!(value(now.parse().unwrap()).unwrap(), text);
        }
        assert_eq!(value("1969-12-31T23:59:59Z".parse().unwrap()), None);
    }
}
