//! `GET /v1/explain`: what a query would need, and what Pitaya would ask the vendor for.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::Traffic;
use crate::domain::bucket::Bucket;
use crate::domain::cell::ReportRequest;
use crate::domain::metric::VendorMetric;
use crate::domain::site::SiteId;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::params::{TrafficParams, check_form};
use crate::http::present::{Format, accepted};
use crate::http::problem::{ApiError, Refused};
use crate::http::routes;
use crate::http::schemas::one_of;

/// The cells that a query needs, and the calls of the vendor that it would cause.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Explanation {
    cells: Cells,
    /// The reports that would fetch the missing cells.
    reports: Vec<Report>,
    /// Number of rows before `fill=none` omits any. With `hours=open`, it is an upper bound if `sort` and `limit` show only some series, or
    /// if `compare` adds rows of hours at which only the other range was open.
    rows: usize,
    limits: Limits,
}

/// The cells of a query: a cell is one metric of the vendor at one site on one local date. A rate or a mean needs the cells that it is
/// computed from. A cell needed in buckets of two lengths counts once, in the worse of its states.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedCells)]
struct Cells {
    /// Those of days that have begun: the sum of the others.
    needed: usize,
    /// Cached, and within their TTL.
    fresh: usize,
    /// Cached and past their TTL, but served at once.
    stale: usize,
    /// Another query is fetching them, and this one would wait for them.
    in_flight: usize,
    /// Pitaya would fetch them, and the query would wait for them.
    missing: usize,
}

/// A report of the vendor.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedReport)]
struct Report {
    #[schema(value_type = Vec<SiteId>)]
    sites: Vec<u64>,
    /// The first date.
    #[schema(format = Date)]
    from: String,
    /// The last date, included.
    #[schema(format = Date)]
    to: String,
    /// The vendor's metrics.
    #[schema(schema_with = vendor_metrics)]
    metrics: Vec<&'static str>,
    /// Length of the vendor's buckets.
    #[schema(value_type = Bucket)]
    bucket: String,
}

/// The limits of one query.
#[derive(Serialize, ToSchema)]
#[schema(as = QueryLimits)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the configuration"
)]
struct Limits {
    max_sites: usize,
    /// Of both ranges of a comparison together.
    max_days: usize,
    /// Counts rows of closed or skipped hours, and rows without figures.
    max_rows: usize,
    /// Maximum number of cells that a query may have to fetch.
    max_queued_cells: usize,
}

fn vendor_metrics() -> utoipa::openapi::schema::Array {
    let metrics = one_of(
        "A metric of the vendor.",
        VendorMetric::ALL.map(VendorMetric::name),
    );
    utoipa::openapi::schema::ArrayBuilder::new()
        .items(metrics)
        .build()
}

impl From<ReportRequest> for Report {
    fn from(request: ReportRequest) -> Self {
        Self {
            sites: request.sites.iter().map(|site| site.get()).collect(),
            from: request.dates.from().to_string(),
            to: request.dates.to().to_string(),
            metrics: request.metrics.iter().map(VendorMetric::name).collect(),
            bucket: Bucket::Minutes(request.bucket.minutes()).to_string(),
        }
    }
}

/// Explains a query.
#[utoipa::path(
    get,
    path = routes::EXPLAIN.path,
    operation_id = "explainTraffic",
    tag = "Traffic",
    summary = "Explain a query",
    description = "What a query of `/v1/traffic` with the same parameters would need now, and what Pitaya would request from the vendor. \
                   This operation does not call the vendor. The same scopes and limits apply.",
    params(TrafficParams),
    responses(
        (status = 200, description = "What the query needs.", body = Explanation),
        Refused<403>, Refused<406>, Refused<422>, Refused<503>,
    ),
)]
pub(in crate::http) async fn explain(
    State(traffic): State<Traffic>,
    Extension(context): Extension<HandlerContext>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let snapshot = &context.snapshot;
    let terms = snapshot.terms(context.caller.scope());
    let params = TrafficParams::parse(query.as_deref(), &terms)?;
    let format = params.format.unwrap_or(Format::Json);
    let query = params.resolve(&terms, traffic.clock.now())?;
    check_form(&query, format)?;
    accepted(&headers, &["application/json"]).ok_or(ApiError::NotAcceptable)?;
    let settings = &snapshot.settings;
    let explained = traffic
        .service
        .explain((&query, &snapshot.directory), settings.request_timeout);
    let explained = explained.await?;
    let explanation = Explanation {
        cells: Cells {
            needed: explained.needed,
            fresh: explained.fresh,
            stale: explained.stale,
            in_flight: explained.in_flight,
            missing: explained.missing,
        },
        reports: explained.reports.into_iter().map(Report::from).collect(),
        rows: explained.rows,
        limits: Limits {
            max_sites: settings.max_sites,
            max_days: settings.max_days,
            max_rows: settings.max_rows,
            max_queued_cells: explained.max_queued_cells,
        },
    };
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            VARY,
            HeaderValue::from_static("Accept, Authorization, X-API-Key"),
        ),
    ];
    Ok((headers, Json(explanation)).into_response())
}
