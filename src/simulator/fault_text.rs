//! The text form of faults, for the command line and for `PUT /_simulator/faults`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::fault::{Endpoint, Fault, FaultKind, Rate, RetryAfter, RowFault, Size};

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
pub struct Faults(pub Vec<Fault>);

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

/// Faults of a single word.
const WORDS: [(&str, FaultKind); 16] = [
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

impl FromStr for Faults {
    type Err = InvalidFaults;

    fn from_str(text: &str) -> Result<Self, InvalidFaults> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let faults = text.split(',').map(|rule| rule.trim().parse());
        faults.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Fault {
    type Err = InvalidFaults;

    fn from_str(rule: &str) -> Result<Self, InvalidFaults> {
        let (words, times) = match rule.split_once('*') {
            None => (rule, None),
            Some((words, times)) => {
                let expected = "a number of calls after *, at least 1";
                let times: NonZeroU32 = parse(rule, times, expected)?;
                (words, Some(times.get()))
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
                set_option(&mut fault.kind, word)?;
            } else if let Some(kind) = kind(word)? {
                fault.kind = kind;
                named = true;
            } else {
                narrow(&mut fault, word)?;
            }
        }
        if !named {
            return Err(InvalidFaults::Nothing(rule.to_owned()));
        }
        let of_reports = fault.site.is_some()
            || fault.above.is_some()
            || matches!(
                fault.kind,
                FaultKind::Truncate { .. }
                    | FaultKind::Unsuccessful
                    | FaultKind::ErrorStatus
                    | FaultKind::Row(_)
            );
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

/// The value that `text` writes, which is a part of `word`.
fn parse<T: FromStr>(word: &str, text: &str, expected: &'static str) -> Result<T, InvalidFaults> {
    text.parse().map_err(|_| wrong(word, expected))
}

/// The fault that a word names; `None` if it names none.
fn kind(word: &str) -> Result<Option<FaultKind>, InvalidFaults> {
    if let Some((_, kind)) = WORDS.into_iter().find(|(name, _)| *name == word) {
        return Ok(Some(kind));
    }
    if let Some(rows) = word.strip_prefix("truncate>") {
        let above = Some(parse(word, rows, "a number of rows")?);
        return Ok(Some(FaultKind::Truncate { above }));
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
            bytes: parse::<ByteSize>(word, value, "a size like 600MiB")?.as_u64(),
        },
        _ => return Ok(None),
    }))
}

fn status(word: &str, code: &str) -> Result<FaultKind, InvalidFaults> {
    let code = code.parse().ok().filter(|code| (300..600).contains(code));
    Ok(FaultKind::Status {
        code: code.ok_or_else(|| wrong(word, "a status from 300 to 599"))?,
        html: false,
        retry_after: None,
    })
}

/// Narrows `fault` to the scope that a word names.
fn narrow(fault: &mut Fault, word: &str) -> Result<(), InvalidFaults> {
    if let Some((measure, most)) = word.split_once('>') {
        let size = match measure {
            "sites" => Size::Sites,
            "days" => Size::Days,
            "cells" => Size::Cells,
            _ => return Err(InvalidFaults::Word(word.to_owned())),
        };
        fault.above = Some(size(parse(word, most, "a number after >")?));
        return Ok(());
    }
    match (word, word.split_once('=')) {
        ("report", _) => fault.endpoint = Endpoint::Report,
        ("token", _) => fault.endpoint = Endpoint::Token,
        ("kept", _) => fault.kept = true,
        (_, Some(("site", id))) => fault.site = Some(parse(word, id, "a site id")?),
        (_, Some(("rate", share))) => {
            let rate = share.parse().ok().and_then(Rate::new);
            fault.rate = Some(rate.ok_or_else(|| wrong(word, "a share from 0 to 1"))?);
        }
        _ => return Err(InvalidFaults::Word(word.to_owned())),
    }
    Ok(())
}

fn set_option(kind: &mut FaultKind, word: &str) -> Result<(), InvalidFaults> {
    let no_option = || InvalidFaults::Option(word.to_owned());
    let FaultKind::Status {
        html, retry_after, ..
    } = kind
    else {
        return Err(no_option());
    };
    let seconds = |text| parse(word, text, "a number of seconds");
    match word.split_once('=') {
        None if word == "html" => *html = true,
        Some(("retry-after", text)) => *retry_after = Some(RetryAfter::Seconds(seconds(text)?)),
        Some(("retry-after-date", text)) => *retry_after = Some(RetryAfter::Date(seconds(text)?)),
        _ => return Err(no_option()),
    }
    Ok(())
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&rules.join(","))
    }
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::site::SiteId;

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

        let faults = text.parse::<Faults>().unwrap().0;

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
                Fault {
                    above: Some(Size::Days(7)),
                    ..Fault::status(504)
                },
                Fault {
                    kept: true,
                    ..Fault::new(FaultKind::Close)
                },
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
