//! Decides which pages of other origins may call (the Fetch standard's CORS protocol).

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::http::settings::Settings;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, X-API-Key, If-None-Match, Cache-Control, Content-Type, X-Request-Id, Last-Event-ID, traceparent, tracestate",
);
/// Our own fields that pages of other origins may read.
pub(in crate::http) const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Content-Range, Cache-Status, X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Server-Timing, Pitaya-As-Of, Pitaya-Stale, Pitaya-Provisional-From, Pitaya-Coverage, Pitaya-Errors",
);
/// Two hours: the longest that any browser keeps the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// The request's origin, if its pages may call. Returns the configured value or a copy, because a slice of the request would keep its
/// connection from reusing the buffer of its head.
pub(in crate::http) fn allowed_origin(
    settings: &Settings,
    origin: Option<&HeaderValue>,
) -> Option<HeaderValue> {
    let origin = origin?;
    let mut allowed = settings.allowed_origins.iter();
    let configured = allowed.find(|known| *known == origin).cloned();
    configured.or_else(|| {
        let allowed = settings.allows_local_origins && is_local(origin);
        allowed.then(|| HeaderValue::from_bytes(origin.as_bytes()).ok())?
    })
}

/// Whether an origin is of this machine, at any port.
fn is_local(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let mut hosts = ["http://localhost", "http://127.0.0.1"].into_iter();
    let Some(rest) = hosts.find_map(|host| origin.strip_prefix(host)) else {
        return false;
    };
    let port = rest.strip_prefix(':');
    rest.is_empty()
        || port.is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        })
}

/// Whether answers differ by the caller's origin.
pub(in crate::http) fn answers_vary(settings: &Settings) -> bool {
    settings.allows_local_origins || !settings.allowed_origins.is_empty()
}

/// Whether the request is a browser's preflight.
pub(in crate::http) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight, without the origin's own field; [`write`] adds that to every answer.
pub(in crate::http) fn preflight(origin: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(VARY, PREFLIGHT_VARY);
    if origin.is_some() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

/// Lets pages of `origin` read an answer and its exposed fields.
pub(in crate::http) fn write(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing;

    fn from(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        headers
    }

    #[test]
    fn only_exact_origins_may_call() {
        let settings = Settings {
            allowed_origins: vec![HeaderValue::from_static("https://app.example")],
            ..testing::settings()
        };
        let may = |origin| allowed_origin(&settings, from(origin).get(ORIGIN)).is_some();

        assert!(may("https://app.example"));
        for other in [
            "http://app.example",
            "https://app.example:8443",
            "https://evil.app.example",
            "https://app.example.evil.test",
            "http://localhost:5173",
            "http://127.0.0.1",
            "null",
        ] {
            assert!(!may(other), "{other}");
        }
        assert_eq!(allowed_origin(&settings, None), None);
    }

    #[test]
    fn pages_of_this_machine_may_call_where_they_are_allowed() {
        let settings = Settings {
            allows_local_origins: true,
            ..testing::settings()
        };

        for origin in [
            "http://localhost:5173",
            "http://localhost",
            "http://127.0.0.1:65535",
        ] {
            let allowed = allowed_origin(&settings, from(origin).get(ORIGIN));
            assert_eq!(allowed, Some(HeaderValue::from_static(origin)));
        }
        for other in [
            "https://localhost:5173",
            "http://localhost:",
            "http://localhost:+80",
            "http://localhost:65536",
            "http://localhost:5173/",
            "http://localhost.evil.test",
            "http://localhost:1@evil.test",
            "http://127.0.0.1.evil.test",
            "http://127.0.0.10",
            "http://app.localhost",
            "null",
        ] {
            assert_eq!(
                allowed_origin(&settings, from(other).get(ORIGIN)),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn a_preflight_differs_from_a_plain_options_request() {
        let mut headers = from("https://app.example");
        assert!(!is_preflight(&Method::OPTIONS, &headers));

        headers.insert(
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("GET"),
        );

        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::GET, &headers));
    }

    #[test]
    fn a_foreign_origin_has_no_permissions() {
        let response = preflight(None);

        assert!(
            !response
                .headers()
                .contains_key(ACCESS_CONTROL_ALLOW_METHODS)
        );
    }
}
