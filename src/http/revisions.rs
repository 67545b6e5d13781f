//! `GET /v1/revisions`: the past figures that the vendor changed, as a page or as a stream of events.
//!
//! A stream holds a place in the feed and no events, so a slow reader costs no memory: it continues at its place, or its stream ends once
//! the feed no longer reaches back that far. A reader that returns gives its place in `Last-Event-ID`. Streams may use only a part of the
//! requests in flight, so that readers who stay cannot shut out queries.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream::{Stream, unfold};
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::edge::auth::Caller;
use super::edge::handler_context::HandlerContext;
use super::edge::in_flight::{Admitted, InFlight};
use super::edge::snapshot::{Snapshot, Snapshots};
use super::params::{RevisionFilter, RevisionParams, last_event_id};
use super::present::{accepted, number, to_the_second};
use super::problem::{ApiError, Refused};
use super::routes;
use crate::domain::site::{CustomerId, SiteId};
use crate::service::{Cursor, Revision, RevisionPage, Since, TrafficService};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MEDIA_TYPES: [&str; 2] = ["application/json", "text/event-stream"];

/// Streams may use this fraction of the requests in flight, at least one.
const STREAMS_SHARE: usize = 4;
/// Events that a stream reads at a time.
const STRETCH: usize = 100;
/// Interval at which a stream without events shows that it is alive: proxies close a connection that is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The state that readers of the feed share. Cloning shares it.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) service: Arc<TrafficService>,
    pub(super) snapshots: Snapshots,
    pub(super) shutting_down: CancellationToken,
    pub(super) streams: InFlight,
}

/// Revisions.
#[derive(Serialize, ToSchema)]
#[schema(as = Revisions)]
pub(super) struct ShownPage {
    /// The oldest first.
    data: Vec<ShownRevision>,
    /// The cursor to continue from, also if there were no events.
    next: String,
}

/// A day's figure that the vendor changed after the day was over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
struct ShownRevision {
    /// The position after this event, for `since`.
    cursor: String,
    /// Time at which Pitaya asked for the new figures.
    #[schema(format = "date-time")]
    seen_at: String,
    #[schema(value_type = CustomerId)]
    customer_id: u64,
    #[schema(value_type = SiteId)]
    site_id: u64,
    /// The local day.
    #[schema(format = "date")]
    date: String,
    /// The vendor's metric: rates are computed from these.
    #[schema(value_type = crate::domain::metric::Metric)]
    metric: &'static str,
    /// `late`: only missing figures came. `changed`: figures have other values, or some came while others disappeared. `withdrawn`: figures
    /// disappeared.
    #[schema(value_type = crate::domain::revision::RevisionKind)]
    kind: &'static str,
    /// The day's figure before; `null` if there was none.
    #[schema(value_type = Option<f64>, required)]
    old: Option<Box<RawValue>>,
    /// The day's figure after; `null` if there is none.
    #[schema(value_type = Option<f64>, required)]
    new: Option<Box<RawValue>>,
    /// Number of buckets that differ.
    buckets: u16,
    /// Seconds from the end of the day until `seen_at`.
    age: i64,
}

impl ShownRevision {
    fn of(cursor: Cursor, revision: &Revision) -> Self {
        let subject = &revision.subject;
        let figure = |figure: Option<f64>| figure.map(|it| number(subject.metric.is_count(), it));
        Self {
            cursor: cursor.to_string(),
            seen_at: to_the_second(revision.seen_at),
            customer_id: subject.customer.get(),
            site_id: subject.site.get(),
            date: subject.date.to_string(),
            metric: subject.metric.name(),
            kind: revision.kind.name(),
            old: figure(revision.old),
            new: figure(revision.new),
            buckets: revision.buckets,
            age: revision.age.as_secs(),
        }
    }
}

/// Lists revisions, or streams them.
#[utoipa::path(
    get,
    path = routes::REVISIONS.path,
    operation_id = "getRevisions",
    tag = "Traffic",
    summary = "Follow the past figures that the vendor changed",
    description = "Each event is a metric of a site on a past day whose figures had changed when Pitaya requested them again. Pitaya \
                   requests figures again when a query needs them past their TTL, and compares them with the last ones that it knows. \
                   Without `since`, the feed begins with the oldest event that is kept: the last 64,512 or more. `next` continues where this \
                   answer ends. With `Accept: text/event-stream`, Pitaya sends the same events as it sees them, with their cursor as `id`, \
                   and `Last-Event-ID` takes precedence over `since`. The stream ends at a shutdown, when the key is removed, after `limit` \
                   events if that is given, or when its reader is too slow; connect again to continue.",
    params(RevisionParams),
    responses(
        (
            status = 200,
            description = "The events.",
            content((ShownPage = "application/json"), (String = "text/event-stream")),
        ),
        Refused<403>,
        Refused<406>,
        Refused<410>,
    ),
)]
pub(super) async fn list(
    State(feed): State<Feed>,
    Extension(context): Extension<HandlerContext>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = RevisionParams::parse(query.as_deref())?;
    let filter = params.filter(&context.snapshot.terms(context.caller.scope()))?;
    let is_stream = accepted(&headers, &MEDIA_TYPES).ok_or(ApiError::NotAcceptable)? == 1;
    let fields = [
        (CACHE_CONTROL, "private, no-cache"),
        (VARY, "Accept, Authorization, X-API-Key"),
    ];
    let reader = Reader {
        caller: context.caller,
        snapshot: context.snapshot,
        filter,
    };
    if !is_stream {
        let page = reader.page(&feed.service, params.since, params.limit())?;
        let events = page.events.iter();
        let shown = ShownPage {
            data: events
                .map(|(cursor, revision)| ShownRevision::of(*cursor, revision))
                .collect(),
            next: page.next.to_string(),
        };
        return Ok((fields, Json(shown)).into_response());
    }
    let since = match headers.get(LAST_EVENT_ID) {
        Some(id) if !id.is_empty() => last_event_id(id.to_str().unwrap_or_default())?,
        _ => params.since,
    };
    let most = reader.snapshot.settings.max_in_flight / STREAMS_SHARE;
    let place = feed.streams.admit(most.max(1));
    let place = place.ok_or(ApiError::Overloaded)?;
    let stream = Streaming {
        more: feed.service.revisions().watch(),
        waiting: reader.page(&feed.service, since, STRETCH)?,
        left: params.limit.unwrap_or(usize::MAX),
        reader,
        headers,
        feed,
        _held: (place, context.admitted),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let stream = Sse::new(stream.events()).keep_alive(keep_alive);
    Ok((fields, stream).into_response())
}

/// The reader, and the part of the feed that it reads.
struct Reader {
    caller: Arc<Caller>,
    snapshot: Arc<Snapshot>,
    filter: RevisionFilter,
}

impl Reader {
    /// The next events that the reader wants and may see.
    fn page(
        &self,
        service: &TrafficService,
        since: Since,
        limit: usize,
    ) -> Result<RevisionPage, ApiError> {
        let scope = self.caller.scope();
        let page = service.revisions().page(since, limit, |revision| {
            let subject = &revision.subject;
            self.filter.wants(subject)
                && scope.allows(&self.snapshot.directory, subject.customer, subject.site)
        });
        Ok(page?)
    }
}

/// A stream of events while it is sent.
struct Streaming {
    feed: Feed,
    reader: Reader,
    /// The request's own fields, which identify its caller even after a reload.
    headers: HeaderMap,
    /// Events that were read but not sent yet, and the place after them.
    waiting: RevisionPage,
    more: watch::Receiver<u64>,
    /// Number of events still to send.
    left: usize,
    _held: (Admitted, Option<Arc<Admitted>>),
}

impl Streaming {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, |mut stream| async move {
            let (cursor, revision) = stream.next().await?;
            let shown = ShownRevision::of(cursor, &revision);
            let event = Event::default().id(shown.cursor.clone()).json_data(&shown);
            Some((Ok(event.expect("it is plain data")), stream))
        })
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(Cursor, Revision)> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if self.feed.shutting_down.is_cancelled() || !self.is_still_allowed() {
                return None;
            }
            if let Some(event) = self.waiting.events.pop_front() {
                return Some(event);
            }
            // Before the look-up, so that no event is missed.
            self.more.mark_unchanged();
            let since = Since::Cursor(self.waiting.next);
            self.waiting = self.reader.page(&self.feed.service, since, STRETCH).ok()?;
            if !self.waiting.events.is_empty() {
                continue;
            }
            tokio::select! {
                more = self.more.changed() => more.ok()?,
                // If the tier has failed meanwhile, its events are shown only when a reader looks.
                () = tokio::time::sleep(KEEP_ALIVE) => {}
                () = self.reader.caller.revoked.cancelled() => return None,
                () = self.feed.shutting_down.cancelled() => return None,
            }
        }
    }

    /// Whether the caller may still read, by the current configuration.
    fn is_still_allowed(&mut self) -> bool {
        let snapshot = self.feed.snapshots.now();
        if snapshot.generation != self.reader.snapshot.generation {
            let Some(caller) = snapshot.caller(&self.headers) else {
                return false;
            };
            // The caller may no longer be allowed to see events that were read for it before.
            let scope = caller.scope();
            self.waiting.events.retain(|(_, revision)| {
                let subject = &revision.subject;
                scope.allows(&snapshot.directory, subject.customer, subject.site)
            });
            self.reader.caller = caller;
            self.reader.snapshot = snapshot;
        }
        !self.reader.caller.revoked.is_cancelled()
    }
}
