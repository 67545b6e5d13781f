//! Conditional requests (RFC 9110, section 13).

use headers::{ETag, HeaderMapExt, IfNoneMatch};
use http::HeaderMap;

/// Whether the caller already has the answer of `etag`, so that Pitaya can reply 304.
#[must_use]
pub fn not_modified(headers: &HeaderMap, etag: &ETag) -> bool {
    headers
        .typed_get::<IfNoneMatch>()
        .is_some_and(|condition| !condition.precondition_passes(etag))
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
    fn the_header_may_come_in_several_lines() {
        let etag: ETag = "W/\"abc\"".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"x\""));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"abc\""));

        assert!(not_modified(&headers, &etag));
    }
}
