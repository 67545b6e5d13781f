//! `GET /v1/traffic`: parse, ask the service, present.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use headers::HeaderMapExt;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::auth::Caller;
use super::params::TrafficParams;
use super::present::{self, Coding, Format, Rendered, SiteProblem};
use super::problem::{ApiError, ProblemKind, public_detail};
use super::state::AppState;
use crate::domain::query::Query;
use crate::service::Answer;
use crate::upstream::UpstreamError;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Rendering and encoding more rows than this takes milliseconds, in which the other connections of the thread would wait.
const MANY_ROWS: usize = 5_000;

/// Answers a query.
pub(super) async fn traffic(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parts = state.parts();
    let scope = caller.scope();
    let params = TrafficParams::parse(query.as_deref(), &scope)?;
    let (partial, format) = (params.partial, params.format);
    let (directory, now) = (parts.service.directory(), parts.clock.now());
    let query = params.resolve(&scope, directory, &parts.settings, now)?;
    let format = format
        .or_else(|| Format::negotiate(&headers))
        .ok_or(ApiError::NotAcceptable)?;
    let patience = parts.settings.request_timeout;
    let answer = parts.service.answer(&query, partial, patience).await?;
    let rows = answer.table.groups().len() * answer.table.times().len();
    let now = parts.clock.now();
    if rows <= MANY_ROWS {
        return present(&query, &answer, format, &headers, now);
    }
    let presenting = spawn_blocking(move || present(&query, &answer, format, &headers, now));
    presenting
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?
}

/// The response that shows `answer` to a caller of those header fields.
fn present(
    query: &Query,
    answer: &Answer,
    format: Format,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    let rendered = present::render(query, answer, format, describe);
    let mut response = if present::not_modified(headers, &rendered.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let coding = Coding::negotiate(headers, rendered.body.len());
        with_body(&rendered, coding.ok_or(ApiError::NotAcceptable)?)
    };
    let fields = response.headers_mut();
    fields.typed_insert(rendered.etag);
    describe_answer(fields, answer, began.elapsed(), now);
    Ok(response)
}

fn with_body(rendered: &Rendered, coding: Coding) -> Response {
    let mut response = Response::new(Body::from(present::encode(coding, &rendered.body)));
    let fields = response.headers_mut();
    let content_type = rendered.format.content_type();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(coding) = coding.name() {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// Where the answer came from, and how long it is good.
fn describe_answer(fields: &mut HeaderMap, answer: &Answer, render: Duration, now: Timestamp) {
    let whole = answer.errors.is_empty();
    let left = present::seconds_left(answer.expires_at, now);
    fields.insert(CACHE_CONTROL, present::cache_control(whole, left));
    fields.insert(
        CACHE_STATUS,
        present::cache_status(answer.outcome, whole, left),
    );
    fields.insert(
        SERVER_TIMING,
        present::server_timing(&answer.timings, render),
    );
    fields.insert(VARY, present::VARY);
}

/// A site's failure in the words of the problem that it would be by itself.
fn describe(error: &UpstreamError) -> SiteProblem {
    SiteProblem {
        slug: ProblemKind::of_upstream(error).slug(),
        detail: public_detail(error).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_ENCODING, ETAG, IF_NONE_MATCH};
    use http_body_util::BodyExt;
    use jiff::civil::date;

    use super::*;
    use crate::domain::bucket::{Bucket, Hours};
    use crate::domain::dates::DateRange;
    use crate::domain::metric::Metric;
    use crate::domain::query::{Fill, GroupBy};
    use crate::domain::site::{CustomerId, SiteId};
    use crate::domain::table::Table;
    use crate::service::{CacheOutcome, Forward, SiteError, SiteInfo, Timings};

    fn query() -> Query {
        Query {
            customer: CustomerId::new(123).unwrap(),
            sites: vec![SiteId::new(750).unwrap()],
            dates: DateRange::day(date(2026, 2, 18)).unwrap(),
            metrics: vec![Metric::Entrances],
            bucket: Bucket::HOUR,
            hours: Hours::ALL_DAY,
            group_by: GroupBy::Site,
            fill: Fill::Null,
        }
    }

    fn now() -> Timestamp {
        "2026-02-19T15:00:00Z".parse().unwrap()
    }

    fn answer() -> Answer {
        let site = SiteId::new(750).unwrap();
        let times = (0..24).map(|hour| date(2026, 2, 18).at(hour, 0, 0, 0));
        Answer {
            table: Table::new(vec![Some(site)], times.collect(), vec![Metric::Entrances]),
            sites: vec![SiteInfo {
                site,
                name: Some("Tyler".into()),
                timezone: None,
            }],
            as_of: now(),
            provisional_from: None,
            expires_at: "2026-02-19T15:00:42Z".parse().unwrap(),
            errors: Vec::new(),
            epoch: 0,
            outcome: CacheOutcome {
                forward: Forward::Hit,
                collapsed: false,
                stale: None,
            },
            timings: Timings::default(),
        }
    }

    fn asked_with(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn shown(answer: &Answer, headers: &HeaderMap) -> Response {
        present(&query(), answer, Format::Json, headers, now()).unwrap()
    }

    #[tokio::test]
    async fn an_answer_says_where_it_came_from_and_how_long_it_is_good() {
        let response = shown(&answer(), &HeaderMap::new());

        let fields = response.headers();
        assert_eq!(fields[CACHE_CONTROL], "private, max-age=42");
        assert_eq!(fields[CACHE_STATUS], "pitaya; hit; ttl=42");
        assert_eq!(
            fields[VARY],
            "Accept, Accept-Encoding, Authorization, Origin"
        );
        assert!(fields.contains_key(SERVER_TIMING) && fields.contains_key(ETAG));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn a_caller_that_has_the_answer_is_told_so_in_every_coding() {
        let etag = shown(&answer(), &HeaderMap::new()).headers()[ETAG].clone();
        let headers = asked_with(&[
            (IF_NONE_MATCH, etag.to_str().unwrap()),
            (ACCEPT_ENCODING, "gzip"),
        ]);

        let response = shown(&answer(), &headers);

        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], etag);
        assert_eq!(response.headers()[CACHE_CONTROL], "private, max-age=42");
        assert!(!response.headers().contains_key(CONTENT_TYPE));
    }

    #[test]
    fn a_partial_answer_is_kept_nowhere() {
        let mut partial = answer();
        partial.errors.push(SiteError {
            site: SiteId::new(750).unwrap(),
            error: Arc::new(UpstreamError::Timeout),
        });

        let response = shown(&partial, &HeaderMap::new());

        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn the_coding_that_was_asked_for_is_named() {
        let response = shown(&answer(), &asked_with(&[(ACCEPT_ENCODING, "br")]));

        assert_eq!(response.headers()[CONTENT_ENCODING], "br");
    }
}
