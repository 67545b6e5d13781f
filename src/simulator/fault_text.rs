//! The text form of faults, for the command line and for `PUT /_simulator/faults`.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;

use super::fault::{Endpoint, Fault, FaultKind, Rate, RetryAfter, Size};
use super::fault_words::WORDS;
use crate::domain::site::SiteId;

/// A list of faults, such as `status=503*3,delay=200ms,site=750:reset`.
///
/// Commas separate rules; each is `[scope:]…fault[:option]…[*times]`, without blanks inside.
///
/// | scope | matches |
/// |---|---|
/// | `report:` | report calls: the default |
/// | `token:` | calls of the token endpoint |
/// | `site=750:` | reports of that site, whichever other sites they include |
/// | `sites>5:`, `days>7:`, `cells>100:` | reports of larger reports: a vendor that rejects large reports, such as `days>7:status=504` |
/// | `kept:` | calls on a connection that has carried an earlier call: `kept:reset` is a pool of dead connections |
/// | `rate=0.1:` | a share of the calls |
///
/// | fault | effect |
/// |---|---|
/// | `status=503`, or `503` | that status and JSON; options `html`, `retry-after=2` (seconds), `retry-after-date=2` (the same as a date) |
/// | `delay=200ms` | a late answer |
/// | `reset`, `close` | resets or closes the connection before the answer |
/// | `cut` | the body ends halfway |
/// | `hang` | no answer |
/// | `drip=50ms` | 16 bytes of the body, a pause, 16 bytes |
/// | `truncate`, `truncate>500` | the answer reports truncation; with a number, only above that many rows, and it keeps that many |
/// | `unsuccessful` | `success` is false |
/// | `error-status` | `status` is `error` |
/// | `html` | 200 and HTML |
/// | `redirect` | 302 |
/// | `garbage` | 200 and half a JSON document |
/// | `negative`, `nan`, `huge`, `text` | such a number in one row |
/// | `off-grid`, `bad-time` | such a time in one row |
/// | `bomb=600MiB` | a small gzip body that decompresses to that size |
///
/// With `*3` a rule applies to the next three calls that it matches; otherwise it applies until cleared. Among the rules that match a call,
/// in order, all delays and `truncate>` apply, and so does the first other rule: `status=503*2,reset*1` gives two errors, then a reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

/// The text is not a list of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFaults {
    /// An unknown word.
    #[error(
        "{0:?} is neither a scope (report, token, site=ID, sites>COUNT, days>COUNT, cells>COUNT, kept, rate=SHARE) nor a fault (status=CODE, delay=TIME, reset, close, cut, hang, drip=TIME, truncate, truncate>ROWS, unsuccessful, error-status, html, redirect, garbage, negative, nan, huge, text, off-grid, bad-time, bomb=SIZE)"
    )]
    Word(String),
    /// A word with an invalid value.
    #[error("{word:?} needs {expected}")]
    Value {
        /// The word.
        word: String,
        /// Valid values.
        expected: &'static str,
    },
    /// An option of another fault, or of none.
    #[error(
        "{0:?} is no option here; a status has html, retry-after=SECONDS and retry-after-date=SECONDS"
    )]
    Option(String),
    /// Scopes without a fault.
    #[error("{0:?} says where but not what; append a fault such as status=503")]
    Nothing(String),
    /// A fault of rows at the token endpoint, which has no rows.
    #[error("{0:?} is a fault of reports, which the token endpoint can't have")]
    Endpoint(String),
}

impl FromStr for Faults {
    type Err = InvalidFaults;

    fn from_str(text: &str) -> Result<Self, InvalidFaults> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|rule| rule.trim().parse()).collect()
    }
}

impl FromStr for Fault {
    type Err = InvalidFaults;

    fn from_str(rule: &str) -> Result<Self, InvalidFaults> {
        let (words, times) = match rule.split_once('*') {
            None => (rule, None),
            Some((words, times)) => {
                let times = times.parse::<u32>().ok().filter(|times| *times > 0);
                (
                    words,
                    Some(
                        times
                            .ok_or_else(|| wrong(rule, "a number of calls after *, at least 1"))?,
                    ),
                )
            }
        };
        // A scope, still without its fault.
        let mut fault = Self {
            times,
            ..Self::new(FaultKind::Reset)
        };
        let mut named = false;
        for word in words.split(':') {
            if named {
                fault.kind = with_option(fault.kind, word)?;
            } else if let Some(kind) = kind(word)? {
                fault.kind = kind;
                named = true;
            } else {
                fault = within_scope(fault, word)?;
            }
        }
        if !named {
            return Err(InvalidFaults::Nothing(rule.to_owned()));
        }
        let of_reports = fault.site.is_some() || fault.above.is_some() || is_of_reports(fault.kind);
        if fault.endpoint == Endpoint::Token && of_reports {
            return Err(InvalidFaults::Endpoint(rule.to_owned()));
        }
        Ok(fault)
    }
}

fn wrong(word: &str, expected: &'static str) -> InvalidFaults {
    InvalidFaults::Value {
        word: word.to_owned(),
        expected,
    }
}

/// The fault that a word names; `None` if it names none.
fn kind(word: &str) -> Result<Option<FaultKind>, InvalidFaults> {
    if let Some((_, kind)) = WORDS.into_iter().find(|(name, _)| *name == word) {
        return Ok(Some(kind));
    }
    if let Some(rows) = word.strip_prefix("truncate>") {
        let rows = rows.parse().map_err(|_| wrong(word, "a number of rows"))?;
        return Ok(Some(FaultKind::Truncate { above: Some(rows) }));
    }
    if word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return status(word, word).map(Some);
    }
    let Some((name, value)) = word.split_once('=') else {
        return Ok(None);
    };
    let time =
        || humantime::parse_duration(value).map_err(|_| wrong(word, "a time like 200ms or 2s"));
    Ok(Some(match name {
        "status" => status(word, value)?,
        "delay" => FaultKind::Delay(time()?),
        "drip" => FaultKind::Drip(time()?),
        "bomb" => FaultKind::Bomb {
            bytes: value
                .parse::<ByteSize>()
                .map_err(|_| wrong(word, "a size like 600MiB"))?
                .as_u64(),
        },
        _ => return Ok(None),
    }))
}

fn status(word: &str, code: &str) -> Result<FaultKind, InvalidFaults> {
    let code = code
        .parse::<u16>()
        .ok()
        .filter(|code| (300..600).contains(code));
    let code = code.ok_or_else(|| wrong(word, "a status from 300 to 599"))?;
    Ok(FaultKind::Status {
        code,
        html: false,
        retry_after: None,
    })
}

fn within_scope(fault: Fault, word: &str) -> Result<Fault, InvalidFaults> {
    if let Some((measure, most)) = word.split_once('>') {
        let size = match measure {
            "sites" => Size::Sites,
            "days" => Size::Days,
            "cells" => Size::Cells,
            _ => return Err(InvalidFaults::Word(word.to_owned())),
        };
        let most = most.parse().map_err(|_| wrong(word, "a number after >"))?;
        return Ok(fault.above(size(most)));
    }
    match word.split_once('=') {
        None if word == "report" => Ok(Fault {
            endpoint: Endpoint::Report,
            ..fault
        }),
        None if word == "token" => Ok(fault.on_tokens()),
        None if word == "kept" => Ok(fault.on_kept_connections()),
        Some(("site", id)) => {
            let id = id.parse::<SiteId>().map_err(|_| wrong(word, "a site id"))?;
            Ok(fault.on_site(id))
        }
        Some(("rate", share)) => {
            let rate = share.parse().ok().and_then(Rate::new);
            let rate = rate.ok_or_else(|| wrong(word, "a share from 0 to 1"))?;
            Ok(fault.at_rate(rate))
        }
        _ => Err(InvalidFaults::Word(word.to_owned())),
    }
}

fn with_option(kind: FaultKind, word: &str) -> Result<FaultKind, InvalidFaults> {
    let FaultKind::Status {
        code,
        html,
        retry_after,
    } = kind
    else {
        return Err(InvalidFaults::Option(word.to_owned()));
    };
    let seconds = |text: &str| text.parse().map_err(|_| wrong(word, "a number of seconds"));
    let (html, retry_after) = match word.split_once('=') {
        None if word == "html" => (true, retry_after),
        Some(("retry-after", text)) => (html, Some(RetryAfter::Seconds(seconds(text)?))),
        Some(("retry-after-date", text)) => (html, Some(RetryAfter::Date(seconds(text)?))),
        _ => return Err(InvalidFaults::Option(word.to_owned())),
    };
    Ok(FaultKind::Status {
        code,
        html,
        retry_after,
    })
}

const fn is_of_reports(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Truncate { .. }
            | FaultKind::Unsuccessful
            | FaultKind::ErrorStatus
            | FaultKind::Row(_)
    )
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{fault}")?;
        }
        Ok(())
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self(faults.into_iter().collect())
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = FaultKind> {
        let retry_after = prop_oneof![
            any::<u32>().prop_map(RetryAfter::Seconds),
            any::<u32>().prop_map(RetryAfter::Date),
        ];
        prop_oneof![
            prop::sample::select(WORDS.map(|(_, kind)| kind).to_vec()),
            (300_u16..600, any::<bool>(), prop::option::of(retry_after)).prop_map(
                |(code, html, retry_after)| FaultKind::Status {
                    code,
                    html,
                    retry_after
                }
            ),
            (0_u64..100_000).prop_map(|millis| FaultKind::Delay(Duration::from_millis(millis))),
            (0_u64..100_000).prop_map(|millis| FaultKind::Drip(Duration::from_millis(millis))),
            any::<usize>().prop_map(|rows| FaultKind::Truncate { above: Some(rows) }),
            any::<u64>().prop_map(|bytes| FaultKind::Bomb { bytes }),
        ]
    }

    fn faults() -> impl Strategy<Value = Fault> {
        let sizes = prop_oneof![
            any::<u32>().prop_map(Size::Sites),
            any::<u32>().prop_map(Size::Days),
            any::<u32>().prop_map(Size::Cells),
        ];
        (
            kinds(),
            prop::option::of(1_u64..1 << 53),
            prop::option::of(sizes),
            any::<bool>(),
            prop::option::of(0.0..=1.0),
            prop::option::of(1_u32..),
        )
            .prop_map(|(kind, site, above, kept, rate, times)| Fault {
                kind,
                endpoint: Endpoint::Report,
                site: site.and_then(SiteId::new),
                above,
                kept,
                rate: rate.and_then(Rate::new),
                times,
            })
    }

    proptest! {
        #[test]
        fn written_faults_parse_back(faults in prop::collection::vec(faults(), 0..5)) {
            let faults = Faults(faults);

            prop_assert_eq!(faults.to_string().parse(), Ok(faults));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9=:>*,.-]{0,40}") {
            let _ = text.parse::<Faults>();
        }
    }

    #[test]
    fn the_documented_forms_parse_as_documented() {
        let text = "status=503*3,delay=200ms,429:retry-after=2,truncate>500,site=750:status=500,rate=0.1:reset,token:401,days>7:504,kept:close";

        let faults: Vec<Fault> = text.parse::<Faults>().unwrap().into_iter().collect();

        let tyler = SiteId::new(750).unwrap();
        assert_eq!(
            faults,
            [
                Fault::status(503).times(3),
                Fault::new(FaultKind::Delay(Duration::from_millis(200))),
                Fault::throttled(RetryAfter::Seconds(2)),
                Fault::new(FaultKind::Truncate { above: Some(500) }),
                Fault::status(500).on_site(tyler),
                Fault::new(FaultKind::Reset).at_rate(Rate::new(0.1).unwrap()),
                Fault::status(401).on_tokens(),
                Fault::status(504).above(Size::Days(7)),
                Fault::new(FaultKind::Close).on_kept_connections(),
            ]
        );
    }

    #[test]
    fn an_error_names_the_valid_forms() {
        for (text, hint) in [
            ("explode", "nor a fault (status=CODE"),
            ("status=99", "a status from 300 to 599"),
            ("status=503*0", "at least 1"),
            ("delay=soon", "a time like 200ms"),
            ("site=750", "append a fault"),
            ("site=x:reset", "a site id"),
            ("rate=2:reset", "a share from 0 to 1"),
            ("reset:html", "a status has html"),
            ("token:truncate", "can't have"),
            ("token:days>7:413", "can't have"),
            ("days>soon:413", "a number after >"),
            ("rows>7:413", "sites>COUNT"),
            ("reset,,cut", "nor a fault"),
        ] {
            let error = text.parse::<Faults>().unwrap_err().to_string();

            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
