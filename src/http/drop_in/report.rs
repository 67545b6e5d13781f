//! `POST /customer/{customer_id}/insights/generate_traffic_report`: the vendor's report, from cells.

use std::pin::pin;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::config::Call;
use super::rows::Document;
use super::{DropIn, JSON, NO_STORE, Outcome, body, config, customer, passed};
use crate::domain::query::{Partial, Query};
use crate::domain::site::CustomerId;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::observe::CACHE_STATUS;
use crate::http::params::{check_limits, parse_none};
use crate::http::present;
use crate::http::problem::{ApiError, Forbidden};
use crate::http::routes;
use crate::http::settings::UnknownConfig;
use crate::service::Reach;

const STALE: HeaderName = HeaderName::from_static("pitaya-stale");

/// Answers the vendor's call for a report.
#[utoipa::path(
    post,
    path = routes::VENDOR_REPORT.path,
    operation_id = "generateTrafficReport",
    tag = "Drop-in",
    summary = "Get figures as the vendor reports them",
    description = "The vendor's own report, answered from the same cells as `GET /v1/traffic`, if `drop_in.enabled` is set (404 \
                   otherwise). Cells answer a config of `groupBys` time and site, custom dates and times, version V2, and buckets of \
                   5 minutes to 24 hours. The answer has only observed rows and figures: absent stays absent, and 0 stays 0. Pitaya combines \
                   the parts of a site (`metadata.pitaya.parts_combined`). It refuses any other config or, with `drop_in.unknown = \
                   \"pass\"`, sends it to the vendor once, unchanged.",
    params(("customer_id" = CustomerId, Path, description = "The customer of the sites.", example = 123)),
    request_body(
        content = Object,
        description = "The vendor's config: at most 1 MiB, within 10 s.",
        content_type = "application/json",
        example = json!(example()),
    ),
    responses((
        status = 200,
        description = "The report, in the vendor's envelope.",
        body = Object,
        content_type = "application/json",
    )),
)]
pub(in crate::http) async fn generate(
    State(state): State<DropIn>,
    Extension(context): Extension<HandlerContext>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let customer = customer(path, &context.caller)?;
    parse_none(parameters.as_deref())?;
    let (body, _room) = body::report(body, &state.report_bodies).await?;
    let call = config::read(&body)?;
    match call.query(customer) {
        Ok(query) => from_cells(&state, &context, &call, &query).await,
        Err(faults) => match context.snapshot.settings.drop_in.unknown {
            UnknownConfig::Reject => {
                Outcome::Rejected.count();
                Err(faults.into())
            }
            UnknownConfig::Pass => pass(&state, &context, customer, &call, body).await,
        },
    }
}

async fn from_cells(
    state: &DropIn,
    context: &HandlerContext,
    call: &Call,
    query: &Query,
) -> Result<Response, ApiError> {
    let HandlerContext {
        caller,
        snapshot,
        progress,
        ..
    } = context;
    let scope = caller.scope();
    let is_visible = |site| scope.allows(&snapshot.directory, query.customer, site);
    if !query.sites.iter().copied().all(is_visible) {
        return Err(ApiError::Forbidden(Forbidden::Hidden));
    }
    check_limits(query, &snapshot.settings)?;
    Outcome::Cells.count();
    let client = caller.name.clone().unwrap_or_default();
    let patience = snapshot.settings.request_timeout;
    let service = &state.service;
    let answer = pin!(service.answer(
        (query, &snapshot.directory),
        &client,
        Partial::Deny,
        Reach::Vendor,
        patience,
        progress,
    ));
    let answer = caller.unless_revoked(answer).await?;
    caller.count_cells(answer.cells);
    let left = present::seconds_left(answer.expires_at, state.clock.now());
    let cache_status = present::cache_status(answer.outcome, true, left);
    let is_stale = answer.outcome.stale.is_some();
    let vendor_site = |site| service.vendor_site(query.customer, site);
    let document = Document::new(query, &call.config, answer, vendor_site);
    let fields = [
        (CONTENT_TYPE, JSON),
        (CACHE_CONTROL, NO_STORE),
        (CACHE_STATUS, cache_status),
    ];
    let mut response = (fields, document.into_body(context)).into_response();
    if is_stale {
        response.headers_mut().insert(STALE, present::STALE);
    }
    Ok(response)
}

/// Sends a call to the vendor as it is. A caller that may not see every site may only ask for sites that it may see, and for nothing that
/// could choose others.
async fn pass(
    state: &DropIn,
    context: &HandlerContext,
    customer: CustomerId,
    call: &Call,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (scope, directory) = (context.caller.scope(), &context.snapshot.directory);
    if !scope.allows_all(directory, customer) {
        let is_visible = |site| scope.allows(directory, customer, site);
        let sites = call.certain_sites();
        if !sites.is_some_and(|sites| sites.into_iter().all(is_visible)) {
            return Err(ApiError::Forbidden(Forbidden::Hidden));
        }
    }
    Outcome::Passed.count();
    let client = context.caller.name.clone().unwrap_or_default();
    let patience = context.snapshot.settings.request_timeout;
    let answer = pin!(state.service.pass_report(customer, client, body, patience));
    let answer = context.caller.unless_revoked(answer).await?;
    Ok(passed(answer, context))
}

/// The request on the vendor's own page.
fn example() -> serde_json::Value {
    serde_json::json!({"config": {
        "sites_facet": {"site_ids": [750]},
        "date_facet": {"dateRange": "custom", "custom": {"range": ["2026-02-18", "2026-02-19"]}},
        "time_facet": {"timeOfDay": "custom", "custom": {"range": ["09:00:00", "17:00:00"]}},
        "group_by_facet": {"time": {"unit": "minutes", "number": 15}, "groupBys": ["time", "site"]},
        "metrics_facet": {"metrics": ["entrances"]},
        "version": "V2",
    }})
}
