//! The short way of `GET /v1/traffic`, which every dashboard calls all day: it bypasses the router and leads to the same middleware and
//! handler.
//!
//! `http::Routes` passes `GET /v1/traffic` to the middleware and its handler without the router: finding the route, and the boxes in which
//! the router passes requests on, are a large part of the remaining cost of a hit. `HEAD` and every other request go through the router, to
//! the same middleware and the same handler.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::response::Response;
use http::request::Parts;

use super::state::AppState;
use crate::http::edge::handler_context::HandlerContext;
use crate::http::edge::request_fields::RequestFields;
use crate::http::edge::{RequestContext, host};
use crate::http::problem::{ApiError, of_panic};
use crate::http::routes::TRAFFIC;
use crate::http::traffic::{self, Begun, Pending};

/// State of a request after everything that does not wait.
pub(super) enum Started {
    /// The request is answered.
    Answered(Response),
    /// The request must wait. Boxed, since this is large, and a hit would have to move it.
    Waiting(Box<Waiting>),
}

/// A request whose answer must first be produced.
pub(super) struct Waiting {
    state: AppState,
    context: RequestContext,
    handler: HandlerContext,
    pending: Pending,
}

/// Runs the middleware for a `GET` of traffic, and answers at once if the answer is available.
pub(super) fn answer_now(state: &AppState, head: &Parts, peer: SocketAddr) -> Started {
    let fields = RequestFields::of(&head.headers);
    let mut context = RequestContext::new(&state.edge, head, &fields, Some(peer), &TRAFFIC);
    let try_it = || {
        host::check(head, &fields)?;
        context.admit(head, &fields)?;
        // Only a route without a key has no caller.
        let caller = context.caller.as_ref().ok_or(ApiError::NotFound)?;
        let _span = context.span.enter();
        traffic::begin(&state.traffic, &context.snapshot, caller, head, &fields)
    };
    let begun = catch_unwind(AssertUnwindSafe(try_it));
    let answered = match begun.unwrap_or_else(|panic| Err(of_panic(&*panic))) {
        Ok(Begun::Answered(reply)) => Ok(reply),
        Err(error) => Err(error),
        Ok(Begun::Pending(pending)) => match context.handler_context(&state.edge) {
            Some(handler) => {
                return Started::Waiting(Box::new(Waiting {
                    state: state.clone(),
                    context,
                    handler,
                    pending,
                }));
            }
            None => Err(ApiError::NotFound),
        },
    };
    Started::Answered(context.depart_with(&state.edge, answered))
}

impl Waiting {
    /// Produces the answer that [`answer_now`] did not have.
    pub(super) async fn answer(self, head: Parts) -> Response {
        let Self {
            state,
            context,
            handler,
            pending,
        } = self;
        let finish = traffic::finish(&state.traffic, &handler, &head, pending);
        let answered = context.unless_it_panics(finish).await;
        context.depart_with(&state.edge, answered.flatten())
    }
}
