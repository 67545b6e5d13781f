//! The answer to a report, read while it arrives.
//!
//! What is held of a long answer is a window of some hundred KiB, and its figures; parts of 256 KiB are read off the async threads,
//! each while the next is gathered. There is no scanner for the ends of rows, which would read everything twice: serde reads a row
//! wherever one begins, and where the text ends first, tries again once there is more, twice as much each time. A row has no effect
//! before its closing brace, and nothing is judged by text that more text may change, so the pieces make no difference (a property
//! test). Nothing is believed before the envelope has closed. A fault ends the transfer, so a long answer with a fault in its first
//! part is not heard to its end.

use std::sync::Arc;

use crate::cores;
use crate::upstream::error::UpstreamError;
use crate::upstream::telemetry;
use crate::upstream::transport::Body;
use crate::upstream::wire::{self, Answer, Fault, Reader, ReportShape};

/// Longer answers are read off the async threads, this much at a time: while one part is read, the next is gathered.
const PART: usize = 256 * 1024;

/// Why there is no answer.
pub(super) enum Unread {
    /// It did not arrive.
    Transfer(UpstreamError),
    /// What arrived of it is not believed.
    Fault(Fault),
}

/// Reads `body`. A fault ends the transfer at once, and a transfer that fails ends the reading.
pub(super) async fn read(mut body: Body, layout: &Arc<ReportShape>) -> Result<Answer, Unread> {
    let result = in_parts(&mut body, layout).await;
    if !matches!(result, Err(Unread::Transfer(_))) {
        telemetry::response_bytes(body.received());
    }
    result
}

async fn in_parts(body: &mut Body, layout: &Arc<ReportShape>) -> Result<Answer, Unread> {
    let mut part = next(body, Vec::new()).await?;
    if part.len() < PART {
        return wire::parse(&part, layout).map_err(Unread::Fault);
    }
    let (mut reader, mut spent) = (Reader::new(Arc::clone(layout)), Vec::new());
    while part.len() >= PART {
        ((reader, spent), part) = tokio::try_join!(push(reader, part), next(body, spent))?;
    }
    off_the_async_threads(move || {
        reader.push(&part)?;
        reader.finish()
    })
    .await
}

async fn next(body: &mut Body, into: Vec<u8>) -> Result<Vec<u8>, Unread> {
    body.next(into, PART).await.map_err(Unread::Transfer)
}

/// Reads on in `part`, which comes back for the bytes after the next: fresh memory for each part costs a tenth of all the time.
async fn push(mut reader: Reader, part: Vec<u8>) -> Result<(Reader, Vec<u8>), Unread> {
    off_the_async_threads(move || {
        reader.push(&part)?;
        Ok((reader, part))
    })
    .await
}

async fn off_the_async_threads<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Unread> {
    cores::work(read)
        .await
        .unwrap_or(Err(Fault::Malformed("the parser died")))
        .map_err(Unread::Fault)
}
