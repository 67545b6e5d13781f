//! Conditions of a request: those of RFC 9110, section 13, and the one directive of `Cache-Control` that counts.

use headers::{ETag, HeaderMapExt, IfNoneMatch};
use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::quality::members;

/// Whether the caller already has the answer of `etag`, so that Pitaya can reply 304.
#[must_use]
pub fn not_modified(headers: &HeaderMap, etag: &ETag) -> bool {
    headers
        .typed_get::<IfNoneMatch>()
        .is_some_and(|condition| !condition.precondition_passes(etag))
}

/// Whether the caller wants only what is cached (RFC 9111, section 5.2.1.7). Its other directives ask for nothing.
#[must_use]
pub fn only_if_cached(headers: &HeaderMap) -> bool {
    let mut directives = members(headers, CACHE_CONTROL);
    directives.any(|(directive, _)| directive.eq_ignore_ascii_case("only-if-cached"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::IF_NONE_MATCH;

    use super::*;

    #[test]
    fn lists_weak_tags_and_the_star_are_understood() {
        let etag: ETag = "W/\"abc\"".parse().unwrap();

        for (condition, expected) in [
            ("W/\"abc\"", true),
            ("\"abc\"", true),
            ("\"x,y\", W/\"abc\"", true),
            ("*", true),
            ("W/\"abd\"", false),
            ("abc", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(condition));

            assert_eq!(not_modified(&headers, &etag), expected, "{condition}");
        }
        assert!(!not_modified(&HeaderMap::new(), &etag));
    }

    #[test]
    fn only_if_cached_is_a_directive_among_others() {
        for (value, expected) in [
            ("only-if-cached", true),
            ("no-cache, Only-If-Cached", true),
            ("max-age=0,only-if-cached ,no-store", true),
            ("no-cache", false),
            ("only-if-cached-or-so", false),
            ("x-only-if-cached", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(CACHE_CONTROL, HeaderValue::from_static("max-stale"));
            headers.append(CACHE_CONTROL, HeaderValue::from_static(value));

            assert_eq!(only_if_cached(&headers), expected, "{value}");
        }
        assert!(!only_if_cached(&HeaderMap::new()));
    }

    #[test]
    fn the_header_may_come_in_several_lines() {
        let etag: ETag = "W/\"abc\"".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"x\""));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"abc\""));

        assert!(not_modified(&headers, &etag));
    }
}
