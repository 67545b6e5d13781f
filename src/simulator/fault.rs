//! Faults of the vendor, and of the network on the way.

use std::time::Duration;

use crate::domain::cell::ReportRequest;
use crate::domain::site::SiteId;

/// Text in every body that a fault generates; with it, tests show that such a body reaches no caller and no log.
pub const MARKER: &str = "vendor-internal-detail";

/// A fault: its kind, its scope and its frequency.
///
/// [`FromStr`](std::str::FromStr) reads and `Display` writes its text form, which `pitaya simulate --faults` uses; see
/// [`Faults`](super::Faults).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) endpoint: Endpoint,
    pub(super) site: Option<SiteId>,
    /// Only larger reports, like those that a vendor rejects.
    pub(super) above: Option<Size>,
    /// Only calls on a connection that has carried an earlier call. With a reset, pooled connections are dead on reuse.
    pub(super) kept: bool,
    pub(super) rate: Option<Rate>,
    pub(super) times: Option<u32>,
}

impl Fault {
    /// A fault of every report call, until cleared.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            endpoint: Endpoint::Report,
            site: None,
            above: None,
            kept: false,
            rate: None,
            times: None,
        }
    }

    /// Answers every report call with that status and a JSON body, until cleared.
    #[must_use]
    pub const fn status(code: u16) -> Self {
        Self::new(FaultKind::Status {
            code,
            html: false,
            retry_after: None,
        })
    }

    /// Throttles every report call with 429, until cleared.
    #[must_use]
    pub const fn throttled(retry_after: RetryAfter) -> Self {
        Self::new(FaultKind::Status {
            code: 429,
            html: false,
            retry_after: Some(retry_after),
        })
    }

    /// Limits the fault to the next `times` calls in its scope.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Moves the fault from reports to the token endpoint.
    #[must_use]
    pub const fn on_tokens(mut self) -> Self {
        self.endpoint = Endpoint::Token;
        self
    }

    /// Limits the fault to reports that include that site.
    #[must_use]
    pub const fn on_site(mut self, site: SiteId) -> Self {
        self.site = Some(site);
        self
    }

    /// Limits the fault to a share of the calls.
    #[must_use]
    pub const fn at_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }
}

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A status other than 200.
    Status {
        /// The status.
        code: u16,
        /// Whether the body is HTML rather than JSON.
        html: bool,
        /// The `Retry-After`, if any.
        retry_after: Option<RetryAfter>,
    },
    /// The answer is late; other faults may follow.
    Delay(Duration),
    /// The connection is reset before the answer.
    Reset,
    /// The connection is closed before the answer.
    Close,
    /// The body ends halfway, well before its `Content-Length`.
    Cut,
    /// No answer ever comes.
    Hang,
    /// The body trickles: 16 bytes, a pause, 16 bytes.
    Drip(Duration),
    /// The answer reports truncation. With `above`, it does so only if it has more rows, and keeps that many.
    Truncate {
        /// Maximum number of rows; `None`: only the flag is set.
        above: Option<usize>,
    },
    /// 200, but `success` is false.
    Unsuccessful,
    /// 200 and `success`, but `status` is `error`.
    ErrorStatus,
    /// 200 and a page of HTML.
    Html,
    /// 302 to another path.
    Redirect,
    /// 200 and a body that is not JSON.
    Garbage,
    /// One row is malformed.
    Row(RowFault),
    /// A small body that decompresses to that many bytes of blanks.
    Bomb {
        /// Decompressed bytes.
        bytes: u64,
    },
}

impl FaultKind {
    /// Whether later faults may hit the same call.
    pub(super) const fn lets_others_follow(self) -> bool {
        matches!(self, Self::Delay(_) | Self::Truncate { above: Some(_) })
    }
}

/// Time at which a throttled client may retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// In that many seconds.
    Seconds(u32),
    /// In that many seconds, written as a date.
    Date(u32),
}

/// Defect of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFault {
    /// A negative number.
    Negative,
    /// `NaN`, which Python's JSON writer emits.
    Nan,
    /// A number too large for a float.
    Huge,
    /// A number in quotes.
    Text,
    /// A time off the requested grid.
    OffGridTime,
    /// A malformed time.
    MalformedTime,
}

impl RowFault {
    /// Replacement for the row's first figure.
    pub(super) const fn number(self) -> Option<&'static str> {
        match self {
            Self::Negative => Some("-3"),
            Self::Nan => Some("NaN"),
            Self::Huge => Some("1e999"),
            Self::Text => Some("\"12\""),
            Self::OffGridTime | Self::MalformedTime => None,
        }
    }
}

/// Limit on the size of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// More sites than this.
    Sites(u32),
    /// More days than this.
    Days(u32),
    /// More cells than this: a cell is one site's figures of one metric on one day.
    Cells(u32),
}

impl Size {
    /// Whether `request` exceeds the limit.
    pub(super) fn is_below(self, request: &ReportRequest) -> bool {
        let (sites, days) = (request.sites.len(), request.dates.len());
        let (size, most) = match self {
            Self::Sites(most) => (sites, most),
            Self::Days(most) => (days, most),
            Self::Cells(most) => (sites * days * request.metrics.len(), most),
        };
        u32::try_from(size).is_ok_and(|size| size > most)
    }
}

/// One of the vendor's two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `POST /customer/{id}/insights/generate_traffic_report`
    Report,
    /// `POST /get_new_tokens`
    Token,
}

/// A share of calls, from 0 to 1 in steps of a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    pub(super) const WHOLE: u32 = 1_000_000;

    /// The share, or `None` outside 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million"
    )]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0)
            .contains(&share)
            .then(|| Self((share * f64::from(Self::WHOLE)).round() as u32))
    }

    /// From 0 to 1.
    pub(super) fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// In millionths.
    pub(super) const fn millionths(self) -> u32 {
        self.0
    }
}
