//! One range of an answer's bytes (RFC 9110, section 14). Some readers of files insist on ranges: polars is one.
//!
//! Our entity tags are weak, so they prove nothing about bytes: `If-Range` never matches, and a caller that joins the parts of two
//! answers cannot notice it. If the figures may still change, the two parts could make a wrong figure. Of such an answer Pitaya serves
//! only two ranges: all of it, and the first bytes of its format, which contain no figure. For any other, the caller gets the whole
//! answer with status 200.
//!
//! The parser is our own: `headers::Range` takes a suffix longer than the answer for a fault.

use std::ops::Range;

use http::header::{IF_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::headers::value;

/// Length of the beginning of an answer that is the same for all figures. Readers look at these bytes to find out the format.
const FORMAT_BYTES: usize = 4;

/// The bytes that a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them: the request has no range, or none that Pitaya serves.
    All,
    /// One range of them.
    Part(Range<usize>),
    /// Only bytes that the answer does not have.
    Nothing,
}

/// The bytes that `request` wants of an answer of `length` bytes; `changes` if its figures may still change.
#[must_use]
pub fn wanted(request: &Parts, length: usize, changes: bool) -> Wanted {
    let headers = &request.headers;
    if request.method != Method::GET || headers.contains_key(IF_RANGE) {
        return Wanted::All;
    }
    let mut fields = headers.get_all(RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Wanted::All;
    };
    let Some(range) = field.to_str().ok().and_then(|text| parse(text, length)) else {
        return Wanted::All;
    };
    if range.is_empty() {
        return Wanted::Nothing;
    }
    if changes && range != (0..length) && range.end > FORMAT_BYTES {
        return Wanted::All;
    }
    Wanted::Part(range)
}

/// The range that `text` names, cut at `length`: empty if it lies beyond, `None` if it is malformed, of another unit, or one of several.
fn parse(text: &str, length: usize) -> Option<Range<usize>> {
    let (unit, range) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim_matches([' ', '\t']).split_once('-')?;
    if first.is_empty() {
        let count = number(last)?.min(length);
        return Some(length - count..length);
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        length
    } else {
        let last = number(last)?;
        if last < first {
            return None;
        }
        last.saturating_add(1).min(length)
    };
    Some(first.min(end)..end)
}

fn number(digits: &str) -> Option<usize> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| digits.parse().ok()).flatten()
}

/// The value of `Accept-Ranges`.
pub const ACCEPT_RANGES: HeaderValue = HeaderValue::from_static("bytes");

/// The value of `Content-Range` for a part of `length` bytes.
#[must_use]
pub fn content_range(part: &Range<usize>, length: usize) -> HeaderValue {
    value(format!("bytes {}-{}/{length}", part.start, part.end - 1))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn of(method: Method, fields: &[(&str, &str)], changes: bool) -> Wanted {
        let mut request = Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        wanted(&request.body(()).unwrap().into_parts().0, 100, changes)
    }

    fn range(value: &str) -> Wanted {
        of(Method::GET, &[("range", value)], false)
    }

    #[test]
    fn one_range_of_bytes_is_understood() {
        for (value, expected) in [
            ("bytes=0-3", 0..4),
            ("bytes=0-0", 0..1),
            ("BYTES=10-19", 10..20),
            ("bytes= 10-19", 10..20),
            ("bytes=90-", 90..100),
            ("bytes=0-99", 0..100),
            ("bytes=0-1000", 0..100),
            ("bytes=99-18446744073709551615", 99..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-101", 0..100),
        ] {
            assert_eq!(range(value), Wanted::Part(expected), "{value}");
        }
    }

    #[test]
    fn a_range_without_a_byte_of_the_answer_wants_nothing() {
        for value in ["bytes=100-", "bytes=100-200", "bytes=1000-1000", "bytes=-0"] {
            assert_eq!(range(value), Wanted::Nothing, "{value}");
        }
    }

    #[test]
    fn other_ranges_are_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=3-1",
            "bytes=+1-3",
            "bytes=--3",
            "bytes=0-3,5-6",
            "bytes=0-3-5",
            "bytes=0x1-3",
            "bytes=99999999999999999999-",
            "rows=0-3",
        ] {
            assert_eq!(range(value), Wanted::All, "{value}");
        }
        let twice = [("range", "bytes=0-3"), ("range", "bytes=5-6")];
        assert_eq!(of(Method::GET, &twice, false), Wanted::All);
        assert_eq!(of(Method::GET, &[], false), Wanted::All);
    }

    #[test]
    fn a_weak_tag_and_a_date_prove_nothing_about_bytes() {
        for value in [
            "W/\"a\"",
            "\"a\"",
            "Wed, 18 Feb 2026 00:00:00 GMT",
            "nonsense",
        ] {
            let fields = [("range", "bytes=0-3"), ("if-range", value)];

            assert_eq!(of(Method::GET, &fields, false), Wanted::All, "{value}");
        }
    }

    #[test]
    fn only_get_has_ranges() {
        let head = of(Method::HEAD, &[("range", "bytes=0-3")], false);

        assert_eq!(head, Wanted::All);
    }

    #[test]
    fn of_changing_figures_a_range_gets_all_bytes_or_only_those_of_the_format() {
        for (value, expected) in [
            ("bytes=0-3", Wanted::Part(0..4)),
            ("bytes=1-2", Wanted::Part(1..3)),
            ("bytes=0-4", Wanted::All),
            ("bytes=0-98", Wanted::All),
            ("bytes=1-", Wanted::All),
            ("bytes=-1", Wanted::All),
            ("bytes=0-", Wanted::Part(0..100)),
            ("bytes=0-99", Wanted::Part(0..100)),
            ("bytes=0-5000", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
        ] {
            let wanted = of(Method::GET, &[("range", value)], true);

            assert_eq!(wanted, expected, "{value}");
        }
    }

    proptest! {
        /// A naive model: the set of positions that the range names.
        #[test]
        fn a_range_names_the_positions_between_its_ends(first in 0_usize..130, last in 0_usize..130) {
            let named: Vec<usize> = (0..100).filter(|at| (first..=last).contains(at)).collect();

            let expected = match (first <= last, named.is_empty()) {
                (false, _) => Wanted::All,
                (true, true) => Wanted::Nothing,
                (true, false) => Wanted::Part(named[0]..named[named.len() - 1] + 1),
            };
            prop_assert_eq!(range(&format!("bytes={first}-{last}")), expected);
        }
    }
}
