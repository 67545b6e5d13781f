//! A place in the feed, as text for callers.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::tier::take;

/// A place in the feed: all events up to one have been seen. Callers keep it as opaque text that is safe in a URL.
///
/// It names the log, since each folder on disk, and each process without one, has its own log. It also names the process that saw the
/// event, since a killed process may have shown an event whose number a later process uses for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) log: LogId,
    /// Number of the last event seen, from 1; 0: none.
    pub(super) seen: u64,
    /// The process that saw that event; 0 if there is none.
    pub(super) process: u32,
}

/// Identifies the log. A log that began later has a greater value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogId {
    /// Microseconds since 1970.
    pub(super) begun_at: i64,
    /// Distinguishes logs that began at the same time.
    pub(super) number: u32,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a cursor that Pitaya has given")]
pub struct InvalidCursor;

impl LogId {
    pub(super) fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.begun_at.to_le_bytes());
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self {
            begun_at: i64::from_le_bytes(take(bytes)?),
            number: u32::from_le_bytes(take(bytes)?),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.log.to_bytes().to_vec();
        bytes.extend(self.seen.to_le_bytes());
        bytes.extend(self.process.to_le_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let read = |bytes: &mut &[u8]| {
            Some(Self {
                log: LogId::read(bytes)?,
                seen: u64::from_le_bytes(take(bytes)?),
                process: u32::from_le_bytes(take(bytes)?),
            })
        };
        let mut bytes = &*bytes;
        let cursor = read(&mut bytes).filter(|_| bytes.is_empty());
        cursor.ok_or(InvalidCursor)
    }
}
