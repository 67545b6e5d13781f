//! Reading of a report's answer while it arrives.
//!
//! Of a long answer, memory holds a window of some hundred KiB and the figures. Threads outside the async ones read it in parts of 256
//! KiB, each while the next arrives. There is no scanner for the ends of rows, which would read everything twice: serde reads a row
//! wherever one begins, and if the text ends first, tries again with twice as much text each time. A row has no effect before its closing
//! brace, and no judgement uses text that more text may change, so the cuts between pieces make no difference (a property test). Nothing
//! is believed before the envelope has closed. A fault ends the transfer, so Pitaya does not receive the rest of a long answer after a
//! fault in its first part.

use std::sync::Arc;

use crate::cores;
use crate::upstream::error::UpstreamError;
use crate::upstream::telemetry;
use crate::upstream::transport::Body;
use crate::upstream::wire::{self, Answer, Fault, Reader, ReportShape};

/// Part size of longer answers, which are read off the async threads: while one part is read, the next arrives.
const PART: usize = 256 * 1024;

/// Why there is no answer.
pub(super) enum Unread {
    /// The transfer failed.
    Transfer(UpstreamError),
    /// The text that arrived is not trusted.
    Fault(Fault),
}

/// Reads `body`. A fault ends the transfer at once, and a failed transfer ends the reading.
pub(super) async fn read(mut body: Body, shape: &Arc<ReportShape>) -> Result<Answer, Unread> {
    let result = in_parts(&mut body, shape).await;
    if !matches!(result, Err(Unread::Transfer(_))) {
        telemetry::response_bytes(body.received());
    }
    result
}

async fn in_parts(body: &mut Body, shape: &Arc<ReportShape>) -> Result<Answer, Unread> {
    let mut part = next(body, Vec::new()).await?;
    if part.len() < PART {
        return wire::parse(&part, shape).map_err(Unread::Fault);
    }
    let (mut reader, mut spent) = (Reader::new(Arc::clone(shape)), Vec::new());
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

/// Feeds `part` to the reader, and returns its memory for reuse: fresh memory for each part would cost a tenth of the total time.
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
        .unwrap_or(Err(Fault::Malformed("the parser panicked")))
        .map_err(Unread::Fault)
}
