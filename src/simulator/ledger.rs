//! Log of the simulator's calls and answers.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::site::CustomerId;

/// Number of individual calls kept; older ones remain only in the counts.
const REMEMBERED: usize = 100_000;

/// One report call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportCall {
    /// Customer in the path, if it is an id.
    pub customer: Option<CustomerId>,
    /// The parsed request; `None` if it is malformed.
    pub request: Option<ReportRequest>,
    /// Status of the answer; `None` if none was sent, or not yet.
    pub status: Option<u16>,
    /// Whether the answer was whole and true: no fault altered it.
    pub whole: bool,
}

/// Numbers of calls since the counts were last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Report calls received, including refused ones.
    pub reports: u64,
    /// Maximum number of report calls in progress at the same time.
    pub peak_reports: u64,
    /// Token calls received, including refused ones.
    pub refreshes: u64,
    /// Token calls with a dead token.
    pub reused_tokens: u64,
    /// Imports of sites received, including refused ones.
    pub imports: u64,
    /// Bytes of their bodies.
    pub imported_bytes: u64,
}

/// Calls so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    counts: watch::Sender<Counts>,
}

#[derive(Debug, Default)]
struct Book {
    calls: VecDeque<ReportCall>,
    /// Number of the oldest call kept.
    first: u64,
    in_flight: u64,
}

impl Ledger {
    /// Records the arrival of a report call, which is in progress until the returned guard is dropped.
    pub(super) fn arrived(
        &self,
        customer: Option<CustomerId>,
        request: Option<ReportRequest>,
    ) -> UnderWay<'_> {
        let mut book = self.book.lock();
        if book.calls.len() == REMEMBERED {
            book.calls.pop_front();
            book.first += 1;
        }
        let number = book.first + book.calls.len() as u64;
        book.calls.push_back(ReportCall {
            customer,
            request,
            status: None,
            whole: false,
        });
        book.in_flight += 1;
        let in_flight = book.in_flight;
        drop(book);
        self.counts.send_modify(|counts| {
            counts.reports += 1;
            counts.peak_reports = counts.peak_reports.max(in_flight);
        });
        UnderWay {
            ledger: self,
            number,
        }
    }

    /// Records a call of the token endpoint.
    pub(super) fn refreshed(&self, reused: bool) {
        self.counts.send_modify(|counts| {
            counts.refreshes += 1;
            counts.reused_tokens += u64::from(reused);
        });
    }

    /// Records an import of sites, and the length of its body.
    pub(super) fn imported(&self, bytes: usize) {
        self.counts.send_modify(|counts| {
            counts.imports += 1;
            counts.imported_bytes += bytes as u64;
        });
    }

    /// The calls kept, in order of arrival.
    pub(super) fn calls(&self) -> Vec<ReportCall> {
        self.book.lock().calls.iter().cloned().collect()
    }

    /// Number of whole and true answers that included each cell.
    pub(super) fn cell_fetches(&self) -> HashMap<CellKey, u32> {
        let mut fetches = HashMap::new();
        for call in self.book.lock().calls.iter().filter(|call| call.whole) {
            for cell in call.request.iter().flat_map(ReportRequest::cells) {
                *fetches.entry(cell).or_default() += 1;
            }
        }
        fetches
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until `such` holds for the counts.
    pub(super) async fn wait_until(&self, such: impl FnMut(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        // The sender lives as long as `self`, so this does not fail.
        let _ = counts.wait_for(such).await;
    }

    /// Forgets all calls and restarts counting from zero.
    pub(super) fn reset(&self) {
        let mut book = self.book.lock();
        book.first += book.calls.len() as u64;
        book.calls.clear();
        let in_flight = book.in_flight;
        drop(book);
        self.counts.send_replace(Counts {
            peak_reports: in_flight,
            ..Counts::default()
        });
    }
}

/// A report call in progress.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    ledger: &'a Ledger,
    number: u64,
}

impl UnderWay<'_> {
    /// Records the answer about to be sent.
    pub(super) fn answered(&self, status: u16, whole: bool) {
        let mut book = self.ledger.book.lock();
        // `None`: the counts were reset while the call was in progress.
        let index = self.number.checked_sub(book.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| book.calls.get_mut(index)) {
            call.status = Some(status);
            call.whole = whole;
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.ledger.book.lock().in_flight -= 1;
    }
}
