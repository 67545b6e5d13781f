//! Answers on the wire: whole ones, and all their failures.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::{StreamExt, stream};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::fault::{FaultKind, MARKER, RetryAfter};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

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

/// Transmission of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    /// Whether the client accepts gzip and the vendor compresses.
    pub gzip: bool,
    /// Whether the body ends halfway.
    pub cut: bool,
    /// Pause between pieces.
    pub drip: Option<Duration>,
}

/// An error, worded as the vendor might word it.
pub(super) fn error(status: StatusCode, detail: &str) -> Response {
    let body = json!({"error": format!("{MARKER}: {detail}"), "success": false});
    with(status, CONTENT_TYPE, JSON, body.to_string())
}

/// 200 with JSON, sent as `delivery` says.
pub(super) fn ok(body: Vec<u8>, delivery: Delivery) -> Response {
    let (body, gzip) = if delivery.gzip {
        match gzip(&body) {
            Ok(packed) => (packed, true),
            Err(_) => (body, false),
        }
    } else {
        (body, false)
    };
    let length = body.len();
    let body = Bytes::from(body);
    let content = if delivery.cut {
        cut(body.slice(..length / 2))
    } else if let Some(pause) = delivery.drip {
        drip(body, pause)
    } else {
        Body::from(body)
    };
    let mut response = with(StatusCode::OK, CONTENT_TYPE, JSON, content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Outcome that a fault decides; `None` if it decides none.
pub(super) fn decided_by(kind: FaultKind, now: Timestamp) -> Option<Outcome> {
    let page = format!("<!doctype html><title>Error</title><h1>{MARKER}</h1>");
    Some(Outcome::Answer(match kind {
        FaultKind::Status {
            code,
            html,
            retry_after,
        } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = if html {
                with(status, CONTENT_TYPE, HTML, page)
            } else {
                error(status, "a fault was injected")
            };
            if let Some(value) = retry_after.and_then(|after| retry_after_value(after, now)) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
        FaultKind::Html => with(StatusCode::OK, CONTENT_TYPE, HTML, page),
        FaultKind::Garbage => with(
            StatusCode::OK,
            CONTENT_TYPE,
            JSON,
            format!("{{\"data\":{{\"InsightResponse\":{{\"data\":[{{\"{MARKER}\":"),
        ),
        FaultKind::Redirect => with(
            StatusCode::FOUND,
            LOCATION,
            HeaderValue::from_static("/_simulator/elsewhere"),
            MARKER,
        ),
        FaultKind::Bomb { bytes } => {
            let encoding = HeaderValue::from_static("gzip");
            let body = bomb(bytes).unwrap_or_default();
            let mut response = with(StatusCode::OK, CONTENT_ENCODING, encoding, body);
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
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

fn with(
    status: StatusCode,
    name: HeaderName,
    value: HeaderValue,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(name, value);
    response
}

fn retry_after_value(after: RetryAfter, now: Timestamp) -> Option<HeaderValue> {
    match after {
        RetryAfter::Seconds(seconds) => Some(seconds.into()),
        RetryAfter::Date(seconds) => {
            let date = now
                .saturating_add(SignedDuration::from_secs(seconds.into()))
                .ok()?;
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            let text = printer.timestamp_to_rfc9110_string(&date).ok()?;
            HeaderValue::try_from(text).ok()
        }
    }
}

/// Compresses for speed: over loopback the ratio does not matter.
fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
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
