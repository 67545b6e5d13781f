//! `GET /v1/traffic`: parses the query, calls the service, presents the answer.

pub(super) mod coverage;
mod delivery;
pub(super) mod explain;
pub(super) mod kept;
mod long_body;
mod parsed_queries;
pub(super) mod progress;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use http::request::Parts;
use jiff::Timestamp;
use tokio::time::interval;

use self::delivery::{Delivery, Showing};
use self::kept::{AnswerKey, KeptAnswers};
use self::parsed_queries::{ParsedQueries, Question, RawQuery};
use self::progress::Queries;
use crate::clock::Clock;
use crate::http::edge::auth::Caller;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::reply::Reply;
use crate::http::edge::request_fields::RequestFields;
use crate::http::edge::snapshot::Snapshot;
use crate::http::params::{TrafficParams, check_form};
use crate::http::present::{
    self, CSV_EXAMPLE, Codings, Form, Format, Notations, Traffic as TrafficAnswer, json_example,
    ndjson_example,
};
use crate::http::problem::{ApiError, Refused};
use crate::http::routes;
use crate::http::schemas::Workbook;
use crate::service::{Reach, TrafficService};

/// The shared state of the traffic handler. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    service: Arc<TrafficService>,
    clock: Clock,
    parsed_queries: Arc<ParsedQueries>,
    pub(super) kept: Arc<KeptAnswers>,
    pub(super) under_way: Arc<Queries>,
}

impl Traffic {
    /// Answers queries through `service`, and keeps rendered answers in at most `max_bytes`.
    pub(super) fn new(service: Arc<TrafficService>, clock: Clock, max_bytes: u64) -> Self {
        Self {
            kept: Arc::new(KeptAnswers::new(max_bytes, Arc::clone(&service))),
            service,
            clock,
            parsed_queries: Arc::default(),
            under_way: Arc::default(),
        }
    }

    /// Frees everything made under replaced settings, which no look-up can find now.
    pub(super) fn forget(&self) {
        self.kept.clear();
        self.parsed_queries.clear();
    }

    /// Checks the clock every second while polled: Pitaya must notice that the clock was set back before it has caught up.
    pub(super) async fn watch_the_clock(&self) {
        let mut timer = interval(Duration::from_secs(1));
        loop {
            timer.tick().await;
            if self.service.mind_the_clock(self.clock.now()) {
                self.kept.drop_outdated();
            }
        }
    }

    /// The context of an answer that is shown now.
    fn showing<'a>(&self, snapshot: &'a Snapshot) -> Showing<'a> {
        Showing {
            now: self.clock.now(),
            longest_age: &snapshot.longest_age,
        }
    }
}

/// The state of a query after the steps that do not wait.
pub(in crate::http) enum Begun {
    /// The answer was available.
    Answered(Reply),
    /// The query still needs its answer.
    Pending(Pending),
}

/// A query that still needs its answer.
pub(in crate::http) struct Pending {
    question: Arc<Question>,
    /// The answer, if it only lacks the coding that the caller wants.
    kept: Option<Delivery>,
}

/// Answers a query from the router.
#[utoipa::path(
    get,
    path = routes::TRAFFIC.path,
    operation_id = "getTraffic",
    tag = "Traffic",
    summary = "Get figures",
    description = "Answers from the cache, and requests only missing figures from the vendor. Rows are in the order of `site_id` (or \
                   `sort`), then `time`; a bucket contains only figures inside `dates` and `hours`. `Range: bytes=…` yields 206 for answers \
                   of up to 1 MiB whose figures no longer change (`meta.provisional_from`); for others, only if the range is all bytes or \
                   the first four. With `Cache-Control: only-if-cached`, Pitaya answers with cached figures only, or with 504 `not-cached`; \
                   it ignores other directives of a request.",
    params(TrafficParams),
    responses(
        (status = 200, description = "The figures.", content(
            (TrafficAnswer = "application/json", example = json!(json_example())),
            (String = "text/csv", example = json!(CSV_EXAMPLE)),
            (String = "application/x-ndjson", example = json!(ndjson_example())),
            (Workbook = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        // The same types as for 200: any other one, or none, would blur those of every answer in generated clients.
        (status = 206, description = "The bytes that `Range` asks for. `Content-Type` and the schema are those of the whole answer.", content(
            (TrafficAnswer = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
            (Workbook = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        (status = 304, description = "The caller already has this answer (`If-None-Match`)."),
        Refused<403>, Refused<406>, Refused<416>, Refused<422>, Refused<502>, Refused<503>, Refused<504>,
    ),
)]
pub(in crate::http) async fn traffic(
    State(traffic): State<Traffic>,
    Extension(context): Extension<HandlerContext>,
    request: Request,
) -> Result<Reply, ApiError> {
    let (request, _) = request.into_parts();
    let fields = RequestFields::of(&request.headers);
    let begun = begin(
        &traffic,
        &context.snapshot,
        &context.caller,
        &request,
        &fields,
    );
    match begun? {
        Begun::Answered(reply) => Ok(reply),
        Begun::Pending(pending) => finish(&traffic, &context, &request, pending).await,
    }
}

/// Answers a query from the rendered answers, if possible.
pub(in crate::http) fn begin(
    traffic: &Traffic,
    snapshot: &Snapshot,
    caller: &Caller,
    request: &Parts,
    fields: &RequestFields<'_>,
) -> Result<Begun, ApiError> {
    let shown = traffic.showing(snapshot);
    let text = RawQuery::new(snapshot.generation, caller, request.uri.query(), fields);
    let question = understand(traffic, snapshot, caller, request, text, shown.now)?;
    let kept = traffic.kept.find(&question.key, shown.now);
    let kept = kept.map(Delivery::kept);
    if let Some(kept) = &kept
        && let Some(reply) = kept.respond_at_once(&question, request, fields, shown)?
    {
        return Ok(Begun::Answered(reply));
    }
    Ok(Begun::Pending(Pending { question, kept }))
}

/// Makes the answer if [`begin`] did not find one.
pub(in crate::http) async fn finish(
    traffic: &Traffic,
    context: &HandlerContext,
    request: &Parts,
    pending: Pending,
) -> Result<Reply, ApiError> {
    let Pending { question, kept } = pending;
    let delivery = if let Some(kept) = kept {
        kept
    } else {
        let reach = if present::only_if_cached(&request.headers) {
            Reach::Cache
        } else {
            Reach::Vendor
        };
        let answer = pin!(answer(traffic, context, &question, reach));
        context.caller.unless_revoked(answer).await?
    };
    delivery
        .respond(
            &traffic.kept,
            &question,
            request,
            traffic.showing(&context.snapshot),
            context,
        )
        .await
}

async fn answer(
    traffic: &Traffic,
    context: &HandlerContext,
    question: &Question,
    reach: Reach,
) -> Result<Delivery, ApiError> {
    let HandlerContext {
        caller,
        snapshot,
        id,
        progress,
        ..
    } = context;
    let settings = &snapshot.settings;
    let Question { key, partial, .. } = question;
    let patience = settings.request_timeout;
    let _shown = traffic.under_way.begin(caller, id, Arc::clone(progress));
    let service = &traffic.service;
    // Without authentication, all callers are one client.
    let client = caller.name.clone().unwrap_or_default();
    let answer = service
        .answer(
            (key.query(), &snapshot.directory),
            &client,
            *partial,
            reach,
            patience,
            progress,
        )
        .await?;
    caller.count_cells(answer.cells);
    let form = Form {
        format: key.format,
        notations: Notations::of(key.query(), &answer.table, &snapshot.directory),
        dwell_time_unit: settings.dwell_time_unit.clone(),
    };
    let delivery = Delivery::of(key.query(), answer, form).await?;
    if let Some(rendering) = delivery.to_keep() {
        traffic.kept.keep(key, Arc::clone(rendering));
    }
    Ok(delivery)
}

/// Finds the question of a request with that text: usually an earlier request has asked the same one.
fn understand(
    traffic: &Traffic,
    snapshot: &Snapshot,
    caller: &Caller,
    request: &Parts,
    text: Option<RawQuery<'_>>,
    now: Timestamp,
) -> Result<Arc<Question>, ApiError> {
    let known = text.and_then(|text| traffic.parsed_queries.get(&text, now));
    if let Some(known) = known {
        return Ok(known);
    }
    let terms = snapshot.terms(caller.scope());
    let params = TrafficParams::parse(request.uri.query(), &terms)?;
    let (partial, format) = (params.partial, params.format);
    let until = params.means_until(&snapshot.directory, now);
    let query = params.resolve(&terms, now)?;
    let format = format
        .or_else(|| Format::negotiate(&request.headers))
        .ok_or(ApiError::NotAcceptable)?;
    check_form(&query, format)?;
    let question = Arc::new(Question {
        key: Arc::new(AnswerKey::new(query, format, snapshot.generation)),
        partial,
        codings: Codings::of(&request.headers),
    });
    if let Some(text) = text {
        traffic.parsed_queries.put(&text, &question, now, until);
    }
    Ok(question)
}
