//! `POST /customer/{customer_id}/sites/import`: passed through to the vendor, for administrators.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use metrics::counter;

use super::body::{Bounded, MAX_IMPORT, check_length};
use super::config::fault;
use super::{DropIn, IMPORTS, customer, passed};
use crate::domain::site::CustomerId;
use crate::http::edge::handler_context::Administrator;
use crate::http::params::parse_none;
use crate::http::problem::{ApiError, Forbidden};
use crate::http::routes;

/// Passes an import of sites on to the vendor.
#[utoipa::path(
    post,
    path = routes::VENDOR_IMPORT.path,
    operation_id = "importSites",
    tag = "Drop-in",
    summary = "Import sites into the vendor",
    description = "Passes the files `sites` and `site_contacts` on to the vendor, once, and returns the vendor's answer, even if it lists \
                   errors of rows. Needs the key of an administrator who may see every site. The body must arrive within \
                   `limits.request_timeout`. 404 unless `drop_in.enabled` is set.",
    params(("customer_id" = CustomerId, Path, description = "The customer of the sites.", example = 123)),
    request_body(
        content = Object,
        description = "CSV files as `sites` and `site_contacts`: at most 16 MiB.",
        content_type = "multipart/form-data",
    ),
    responses((
        status = 200,
        description = "The vendor's answer.",
        body = Object,
        content_type = "application/json",
    )),
)]
pub(in crate::http) async fn import(
    State(state): State<DropIn>,
    Administrator(context): Administrator,
    path: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let caller = &context.caller;
    let customer = customer(path, caller)?;
    if caller.scope().is_of_some_sites() {
        return Err(ApiError::Forbidden(Forbidden::SomeSites));
    }
    parse_none(parameters.as_deref())?;
    let content_type = multipart(&headers)?;
    check_length(&body, MAX_IMPORT)?;
    let patience = context.snapshot.settings.request_timeout;
    let (body, fault) = Bounded::new(body, MAX_IMPORT, patience);
    let body = UnsyncBoxBody::new(body.map_err(Into::into));
    // Before the call: the vendor may have imported the sites although the caller hangs up.
    tracing::info!(
        target: "pitaya::audit",
        client = caller.name.as_deref(),
        %customer,
        request_id = context.id.as_str(),
        "Pitaya passes on an import of sites"
    );
    let service = &state.service;
    let imported = service.import_sites(customer, content_type, body, patience);
    let imported = imported.await.map_err(|error| {
        // If the body did not arrive whole, the vendor's failure follows from that.
        fault.get().cloned().unwrap_or_else(|| error.into())
    });
    let status = imported.as_ref().map(|answer| answer.status.as_u16());
    let problem = imported.as_ref().err().map(|error| error.kind().slug());
    tracing::info!(
        target: "pitaya::audit",
        client = caller.name.as_deref(),
        %customer,
        status = status.ok(),
        problem,
        request_id = context.id.as_str(),
        "an import of sites has ended"
    );
    let outcome = if imported.is_ok() {
        "answered"
    } else {
        "failed"
    };
    counter!(IMPORTS, "outcome" => outcome).increment(1);
    Ok(passed(imported?, &context))
}

/// The content type of a form with files.
fn multipart(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    const FORM: &str = "multipart/form-data";
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let only = types.next().filter(|_| types.next().is_none());
    let is_form = |value: &&HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let (essence, parameters) = text.split_once(';').unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(FORM)
            && parameters.to_ascii_lowercase().contains("boundary=")
    };
    only.filter(is_form).cloned().ok_or_else(|| {
        let expected = "must be multipart/form-data with a boundary";
        fault("Content-Type", expected).into()
    })
}
