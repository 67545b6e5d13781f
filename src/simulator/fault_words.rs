//! Writes faults in their text form.

use std::fmt;
use std::time::Duration;

use super::fault::{Endpoint, Fault, FaultKind, RetryAfter, RowFault, Size};

/// Faults of a single word.
pub(super) const WORDS: [(&str, FaultKind); 16] = [
    ("reset", FaultKind::Reset),
    ("close", FaultKind::Close),
    ("cut", FaultKind::Cut),
    ("hang", FaultKind::Hang),
    ("truncate", FaultKind::Truncate { above: None }),
    ("unsuccessful", FaultKind::Unsuccessful),
    ("error-status", FaultKind::ErrorStatus),
    ("html", FaultKind::Html),
    ("redirect", FaultKind::Redirect),
    ("garbage", FaultKind::Garbage),
    ("negative", FaultKind::Row(RowFault::Negative)),
    ("nan", FaultKind::Row(RowFault::Nan)),
    ("huge", FaultKind::Row(RowFault::Huge)),
    ("text", FaultKind::Row(RowFault::Text)),
    ("off-grid", FaultKind::Row(RowFault::OffGridTime)),
    ("bad-time", FaultKind::Row(RowFault::MalformedTime)),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.endpoint == Endpoint::Token {
            f.write_str("token:")?;
        }
        if let Some(site) = self.site {
            write!(f, "site={site}:")?;
        }
        match self.above {
            Some(Size::Sites(most)) => write!(f, "sites>{most}:")?,
            Some(Size::Days(most)) => write!(f, "days>{most}:")?,
            Some(Size::Cells(most)) => write!(f, "cells>{most}:")?,
            None => {}
        }
        if self.kept {
            f.write_str("kept:")?;
        }
        if let Some(rate) = self.rate {
            write!(f, "rate={}:", rate.share())?;
        }
        self.kind.fmt(f)?;
        match self.times {
            Some(times) => write!(f, "*{times}"),
            None => Ok(()),
        }
    }
}

/// A duration without blanks, which would split it into two words.
fn time(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = WORDS.iter().find(|(_, kind)| kind == self) {
            return f.write_str(name);
        }
        match self {
            Self::Status {
                code,
                html,
                retry_after,
            } => {
                let html = if *html { ":html" } else { "" };
                write!(f, "status={code}{html}")?;
                match retry_after {
                    Some(RetryAfter::Seconds(seconds)) => write!(f, ":retry-after={seconds}"),
                    Some(RetryAfter::Date(seconds)) => write!(f, ":retry-after-date={seconds}"),
                    None => Ok(()),
                }
            }
            Self::Delay(delay) => write!(f, "delay={}", time(*delay)),
            Self::Drip(pause) => write!(f, "drip={}", time(*pause)),
            Self::Truncate { above: Some(rows) } => write!(f, "truncate>{rows}"),
            Self::Bomb { bytes } => write!(f, "bomb={bytes}"),
            // Every other fault is one of the words above.
            _ => Ok(()),
        }
    }
}
