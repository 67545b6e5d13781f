//! Answers on the wire: whole ones, and all their failures.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::fault::{FaultKind, MARKER, RetryAfter};

const JSON: &str = "application/json";

/// Outcome of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The simulator answers.
    Answer(Response),
    /// The simulator resets the connection.
    Reset,
    /// The simulator closes the connection.
    Close,
    /// The simulator never answers.
    Silence,
}

/// An error, worded as the vendor might word it.
pub(super) fn error(status: StatusCode, detail: &str) -> Response {
    let body = json!({"error": format!("{MARKER}: {detail}"), "success": false});
    (status, Json(body)).into_response()
}

/// 200 with JSON, sent as those of `hits` say that concern the transmission.
pub(super) fn ok(body: String, gzip: bool, hits: &[FaultKind]) -> Response {
    let body = Bytes::from(if gzip {
        packed(body.as_bytes()).expect("writing to memory does not fail")
    } else {
        body.into_bytes()
    });
    let length = body.len();
    let pause = hits.iter().find_map(|kind| match kind {
        FaultKind::Drip(pause) => Some(*pause),
        _ => None,
    });
    let content = if hits.contains(&FaultKind::Cut) {
        cut(body.slice(..length / 2))
    } else if let Some(pause) = pause {
        drip(body, pause)
    } else {
        Body::from(body)
    };
    let length = [(CONTENT_LENGTH, HeaderValue::from(length))];
    let encoding = gzip.then_some([(CONTENT_ENCODING, "gzip")]);
    ([(CONTENT_TYPE, JSON)], length, encoding, content).into_response()
}

/// Outcome that a fault decides; `None` if it decides none.
pub(super) fn decided_by(kind: FaultKind, now: Timestamp) -> Option<Outcome> {
    let page = Html(format!(
        "<!doctype html><title>Error</title><h1>{MARKER}</h1>"
    ));
    Some(Outcome::Answer(match kind {
        FaultKind::Status {
            code,
            html,
            retry_after,
        } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let after = retry_after.and_then(|after| retry_after_value(after, now));
            let after = after.map(|value| [(RETRY_AFTER, value)]);
            if html {
                (status, after, page).into_response()
            } else {
                (after, error(status, "a fault was injected")).into_response()
            }
        }
        FaultKind::Html => page.into_response(),
        FaultKind::Garbage => {
            let half = format!("{{\"data\":{{\"InsightResponse\":{{\"data\":[{{\"{MARKER}\":");
            ([(CONTENT_TYPE, JSON)], half).into_response()
        }
        FaultKind::Redirect => {
            let elsewhere = [(LOCATION, "/_simulator/elsewhere")];
            (StatusCode::FOUND, elsewhere, Body::from(MARKER)).into_response()
        }
        FaultKind::Bomb { bytes } => {
            let fields = [(CONTENT_TYPE, JSON), (CONTENT_ENCODING, "gzip")];
            (fields, bomb(bytes).unwrap_or_default()).into_response()
        }
        FaultKind::Reset => return Some(Outcome::Reset),
        FaultKind::Close => return Some(Outcome::Close),
        FaultKind::Hang => return Some(Outcome::Silence),
        FaultKind::Delay(_)
        | FaultKind::Cut
        | FaultKind::Drip(_)
        | FaultKind::Truncate { .. }
        | FaultKind::Unsuccessful
        | FaultKind::ErrorStatus
        | FaultKind::Row(_) => return None,
    }))
}

fn retry_after_value(after: RetryAfter, now: Timestamp) -> Option<HeaderValue> {
    match after {
        RetryAfter::Seconds(seconds) => Some(seconds.into()),
        RetryAfter::Date(seconds) => {
            let date = now.saturating_add(SignedDuration::from_secs(seconds.into()));
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            let text = printer.timestamp_to_rfc9110_string(&date.ok()?).ok()?;
            HeaderValue::try_from(text).ok()
        }
    }
}

/// Compresses for speed: over loopback the ratio does not matter.
fn packed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// `part`, then the end of the connection.
fn cut(part: Bytes) -> Body {
    let parts = stream::unfold(Some(part), |part| async move {
        if let Some(part) = part {
            return Some((Ok(part), None));
        }
        // The connection flushes to the socket only while the body has nothing to give.
        tokio::task::yield_now().await;
        Some((Err(io::ErrorKind::ConnectionAborted), None))
    });
    Body::from_stream(parts.map(|part| part.map_err(io::Error::from)))
}

/// Sixteen bytes, a pause, sixteen bytes.
fn drip(body: Bytes, pause: Duration) -> Body {
    let drops = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let drop = rest.split_to(rest.len().min(16));
        Some((Ok::<_, Infallible>(drop), rest))
    });
    Body::from_stream(drops)
}

/// About `bytes` blanks in one gzip stream, which is a thousandth as long: one compressed piece, sent over and over.
fn bomb(bytes: u64) -> io::Result<Body> {
    const PIECE: usize = 1 << 20;
    let blanks = vec![b' '; PIECE];
    let mut piece = Vec::with_capacity(PIECE / 100);
    // A flush ends the piece on a whole byte without ending the stream, so copies of the piece may follow one another.
    Compress::new(Compression::best(), false).compress_vec(
        &blanks,
        &mut piece,
        FlushCompress::Sync,
    )?;
    let pieces = bytes.div_ceil(PIECE as u64);
    let mut crc = Crc::new();
    let mut crc_of_piece = Crc::new();
    crc_of_piece.update(&blanks);
    for _ in 0..pieces {
        crc.combine(&crc_of_piece);
    }
    // RFC 1952: the header, and after the last, empty block the checksum and the length modulo 2^32.
    let header = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    let mut trailer = vec![1, 0, 0, 0xff, 0xff];
    trailer.extend_from_slice(&crc.sum().to_le_bytes());
    trailer.extend_from_slice(&crc.amount().to_le_bytes());
    let repeated = usize::try_from(pieces).unwrap_or(usize::MAX);
    let parts = std::iter::once(header)
        .chain(std::iter::repeat_n(Bytes::from(piece), repeated))
        .chain(std::iter::once(Bytes::from(trailer)));
    Ok(Body::from_stream(stream::iter(
        parts.map(Ok::<_, Infallible>),
    )))
}
