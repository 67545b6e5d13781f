//! The kinds of problem that callers can meet. Only this module defines their slugs, statuses and texts.

use http::StatusCode;

use crate::http::schemas::{one_of, schemas};
use crate::upstream::UpstreamError;

/// Declares the kinds: each with its slug, its status, its title for people, and its meaning and remedy for its page.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $slug:literal, $status:ident, $title:literal, $explanation:literal;)*) => {
        /// A kind of problem; the last part of its `type` (RFC 9457) is its slug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: [Self; [$($slug),*].len()] = [$(Self::$kind),*];

            /// Name in URIs.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)* }
            }

            /// Its `type`: a reference to the page that explains it.
            #[must_use]
            pub const fn type_uri(self) -> &'static str {
                match self { $(Self::$kind => concat!("/problems/", $slug),)* }
            }

            /// HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// Title for people, identical for each occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }

            /// Meaning and remedy, for its page.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$kind => $explanation,)* }
            }
        }
    };
}

kinds! {
    /// The bytes are not HTTP, or do not name the host.
    MalformedRequest: "malformed-request", BAD_REQUEST, "The request is not valid HTTP",
        "The bytes received are not a valid HTTP request because the first line or a header field is malformed, or the request does not \
         name its host exactly once, in a valid `Host` field. Check any proxy between the caller and Pitaya, and whether the caller speaks \
         TLS to a port without it.";
    /// A parameter is malformed, unknown or repeated.
    InvalidParameter: "invalid-parameter", BAD_REQUEST, "A parameter is not valid",
        "At least one query parameter is malformed, unknown, repeated or missing. The list `errors` names each such parameter, describes \
         the fault and gives a valid example. Correct them and try again.";
    /// The query is well-formed but exceeds a limit.
    QueryTooLarge: "query-too-large", UNPROCESSABLE_ENTITY, "The query is over a limit",
        "The query is well-formed, but it asks for more sites, days or rows than one query may. `detail` names the limit, its value, the \
         requested amount, and a smaller query that would pass; `errors` names the parameters to change. If there are too many rows, \
         coarser buckets also help.";
    /// The configuration, read again, is wrong.
    InvalidConfiguration: "invalid-configuration", UNPROCESSABLE_ENTITY, "The configuration is not valid",
        "Pitaya read its configuration again and found errors, so it keeps the configuration that it had. The list `errors` has all of \
         them: each names the key, the variable or the file at fault. `pitaya check-config` reports the same. Correct them and reload \
         again.";
    /// No valid key.
    Unauthenticated: "unauthenticated", UNAUTHORIZED, "A valid API key is needed",
        "Every path under /v1 needs an API key, as `Authorization: Bearer <key>`, as `X-API-Key: <key>`, or as the password of \
         `Authorization: Basic`. The request had no key, an unknown or malformed one, or the same field twice. If the request has \
         `X-API-Key`, Pitaya reads only that.";
    /// Outside the caller's scope.
    Forbidden: "forbidden", FORBIDDEN, "Not allowed",
        "The key is valid, but not for this customer, for one of these sites, or for this operation: `detail` says which. The answer is \
         the same whether a site exists or not; `GET /v1/sites` lists the sites that you may see. Without keys, changes are for callers on \
         Pitaya's own machine.";
    /// No route has this path.
    NotFound: "not-found", NOT_FOUND, "Nothing is here",
        "There is nothing at this path. The documentation at /docs lists every path.";
    /// The path has no such method.
    MethodNotAllowed: "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed here",
        "The path exists, but not with this method. The header field `Allow` lists the methods that it has.";
    /// The caller accepts no format of the answer.
    NotAcceptable: "not-acceptable", NOT_ACCEPTABLE, "No acceptable form of the answer",
        "The header field `Accept` admits none of the available formats. Request application/json, text/csv, application/x-ndjson or \
         application/vnd.openxmlformats-officedocument.spreadsheetml.sheet, or use the parameter `format`, which overrides `Accept`.";
    /// The request's target exceeds Pitaya's limit.
    UriTooLong: "uri-too-long", URI_TOO_LONG, "The URI is too long",
        "The path and query together are longer than Pitaya reads. Ask for fewer sites at a time.";
    /// The answer has none of the bytes of the requested range.
    RangeNotSatisfiable: "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "The answer does not have these bytes",
        "The range of bytes in the header field `Range` begins after the last byte of the answer. `Content-Range` gives the answer's \
         length. The answer may have become shorter: request it again, without `Range`.";
    /// The request's header fields exceed Pitaya's limit.
    HeadersTooLarge: "headers-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The header fields are too large",
        "The header fields of the request are larger than Pitaya reads. Browsers sometimes send large cookies; Pitaya needs none.";
    /// The request's body exceeds Pitaya's limit.
    BodyTooLarge: "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body of the request is longer than this path allows. Ask for less at a time.";
    /// The request's body did not arrive in time.
    BodyTimeout: "body-timeout", REQUEST_TIMEOUT, "The body did not arrive in time",
        "The body of the request did not arrive within the time that this path allows. Check the connection, and try again.";
    /// The client has reached its own limit.
    RateLimited: "rate-limited", TOO_MANY_REQUESTS, "Too many requests",
        "The client has used up its own limit of requests. The header fields `RateLimit-Policy` and `RateLimit` give the limit and the \
         remaining requests; `Retry-After` gives the seconds until the next try.";
    /// Pitaya has reached one of its own limits.
    Overloaded: "overloaded", SERVICE_UNAVAILABLE, "Pitaya is overloaded",
        "Pitaya is at one of its own limits: requests being answered, memory for large answers, or cells waiting for the vendor. Try again \
         after the seconds in `Retry-After`.";
    /// A purge is done in memory and not yet in the store that outlives the process.
    StoreUnavailable: "store-unavailable", SERVICE_UNAVAILABLE, "The purge is not complete yet",
        "This Pitaya has forgotten the figures and no longer shows them, but the purge is not complete. Either Pitaya could not remove \
         them from the cache on disk, and a restart now might bring them back. Or it could not tell all replicas that share a store: they \
         hear of the purge when the store is back, and a replica that crashed or hangs counts for up to a minute. Pitaya goes on trying. \
         Repeat the purge after the seconds in `Retry-After` to learn whether it is complete.";
    /// The feed of revisions does not reach back to the cursor.
    CursorExpired: "cursor-expired", GONE, "The feed does not reach back so far",
        "The cursor or time in `since`, or the one in `Last-Event-ID`, is from before the revisions that Pitaya keeps, or the cursor is of \
         another process that kept none on disk. So revisions may be missing in between. Read the figures of the dates of interest again, \
         and then follow the feed from the cursor that `/v1/revisions` gives without `since`.";
    /// The vendor throttles, or the circuit is open.
    UpstreamUnavailable: "upstream-unavailable", SERVICE_UNAVAILABLE, "The vendor is not available for now",
        "The vendor throttles Pitaya, or kept failing, so Pitaya pauses its calls for a moment. Pitaya still answers cached figures. Try \
         again after the seconds in `Retry-After`.";
    /// The vendor failed, or its answer is not trustworthy.
    UpstreamError: "upstream-error", BAD_GATEWAY, "The vendor failed",
        "The vendor failed, or its answer can't be trusted because it is truncated, malformed, or not a success. Pitaya cached none of it. \
         Trying again may help; with `partial=allow` Pitaya answers with the available figures.";
    /// The vendor refuses Pitaya's tokens.
    UpstreamCredentials: "upstream-credentials", SERVICE_UNAVAILABLE, "The vendor refuses Pitaya's credentials",
        "The vendor refuses Pitaya's tokens. Callers cannot fix this; the operator of this Pitaya must renew the tokens. Pitaya still \
         answers cached figures.";
    /// The vendor did not answer in time.
    UpstreamTimeout: "upstream-timeout", GATEWAY_TIMEOUT, "The vendor did not answer in time",
        "The vendor did not answer within the time limit. If `detail` says that the fetch goes on, its figures will be cached, so trying \
         again soon may well succeed.";
    /// The caller wants only cached figures, and some are not.
    NotCached: "not-cached", GATEWAY_TIMEOUT, "Not all figures are cached",
        "The request has `Cache-Control: only-if-cached`, and Pitaya would have to ask the vendor for some of the figures. Ask again \
         without it; with `partial=allow` Pitaya answers with the cached figures.";
    /// A bug in Pitaya.
    Internal: "internal", INTERNAL_SERVER_ERROR, "An error inside Pitaya",
        "A bug in Pitaya. Please report it to its operator with the `request_id`.";
}

impl ProblemKind {
    /// The kind with the given slug.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }

    /// The kind that shows a given vendor failure.
    #[must_use]
    pub const fn of_upstream(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Timeout
            | UpstreamError::ConnectTimeout
            | UpstreamError::StillFetching => Self::UpstreamTimeout,
            UpstreamError::Throttled { .. } | UpstreamError::CircuitOpen { .. } => {
                Self::UpstreamUnavailable
            }
            UpstreamError::Connection(_)
            | UpstreamError::Status(_)
            | UpstreamError::Untrusted(_)
            | UpstreamError::Undecodable(_)
            | UpstreamError::Truncated
            | UpstreamError::TooLarge { .. } => Self::UpstreamError,
            UpstreamError::Credentials(_) => Self::UpstreamCredentials,
            UpstreamError::NotCached => Self::NotCached,
            UpstreamError::Internal(_) => Self::Internal,
        }
    }
}

schemas! {
    ProblemKind, "ProblemSlug": one_of("A kind of problem.", ProblemKind::ALL.map(ProblemKind::slug));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_leads_back_to_its_kind() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(kind));
        }
        assert_eq!(ProblemKind::from_slug("not-a-slug"), None);
    }

    #[test]
    fn every_kind_is_an_error() {
        for kind in ProblemKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
