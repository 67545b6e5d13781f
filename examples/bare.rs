//! The smallest possible cache of answers on the same stack: axum and one look-up by path and query, nothing else.
//!
//! `benches/compare` measures the cost of Pitaya's promises against it. Serves the file named in `BODIES` for each `dates`.

#![expect(
    clippy::unwrap_used,
    reason = "a measuring tool that can't go on has failed"
)]

use std::path::PathBuf;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use moka::sync::Cache;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap();
    let bodies = PathBuf::from(arguments.next().unwrap());
    let answers: Cache<String, Bytes> = Cache::new(10_000);
    let handler = |State(answers): State<Cache<String, Bytes>>, RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        let body = answers.get_with_by_ref(&query, || {
            // The dates name the file, as for the origin of the other servers.
            let dates = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("dates="));
            std::fs::read(bodies.join(dates.unwrap())).unwrap().into()
        });
        ([(CONTENT_TYPE, "application/json")], body)
    };
    let router = Router::new()
        .route("/v1/traffic", get(handler))
        .with_state(answers);
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    axum::serve(listener, router).await.unwrap();
}
