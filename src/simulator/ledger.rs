//! What was asked of the simulator, and what it answered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::cell::{CellKey, ReportRequest};
use crate::domain::site::CustomerId;

/// Calls that are remembered one by one; of older ones only the counts are.
const REMEMBERED: usize = 100_000;

/// One report call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportCall {
    /// The customer in the path, where it was one.
    pub customer: Option<CustomerId>,
    /// What was asked for; `None` where that could not be understood.
    pub request: Option<ReportRequest>,
    /// The status that was answered; `None` where none was, or not yet.
    pub status: Option<u16>,
    /// Whether the answer was whole and true: no fault touched it.
    pub whole: bool,
}

/// How often the simulator was called, since the counts were last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Report calls that arrived, refused ones too.
    pub reports: u64,
    /// The most report calls that were being answered at once.
    pub peak_reports: u64,
    /// Calls of the token endpoint that arrived, refused ones too.
    pub refreshes: u64,
    /// Calls of the token endpoint with a token that was dead.
    pub reused_tokens: u64,
}

/// The calls so far.
#[derive(Debug)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    counts: watch::Sender<Counts>,
}

#[derive(Debug, Default)]
struct Book {
    calls: VecDeque<ReportCall>,
    /// The number of the first call that is remembered.
    first: u64,
    in_flight: u64,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::default(),
            counts: watch::Sender::default(),
        }
    }

    /// Notes that a report call has arrived, and is under way until what is returned is dropped.
    pub(super) fn arrived(
        &self,
        customer: Option<CustomerId>,
        request: Option<ReportRequest>,
    ) -> UnderWay<'_> {
        let mut book = self.book();
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

    /// Notes that the token endpoint was called.
    pub(super) fn refreshed(&self, reused: bool) {
        self.counts.send_modify(|counts| {
            counts.refreshes += 1;
            counts.reused_tokens += u64::from(reused);
        });
    }

    /// The calls that are remembered, in the order in which they arrived.
    pub(super) fn calls(&self) -> Vec<ReportCall> {
        self.book().calls.iter().cloned().collect()
    }

    /// How often each cell was part of a whole and true answer.
    pub(super) fn cell_fetches(&self) -> HashMap<CellKey, u32> {
        let mut fetches = HashMap::new();
        for call in self.book().calls.iter().filter(|call| call.whole) {
            for cell in call.request.iter().flat_map(ReportRequest::cells) {
                *fetches.entry(cell).or_default() += 1;
            }
        }
        fetches
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the counts are such.
    pub(super) async fn wait_until(&self, such: impl FnMut(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        // The sender lives as long as `self`, so this does not fail.
        let _ = counts.wait_for(such).await;
    }

    /// Forgets all calls and starts counting from zero.
    pub(super) fn reset(&self) {
        let mut book = self.book();
        book.first += book.calls.len() as u64;
        book.calls.clear();
        let in_flight = book.in_flight;
        drop(book);
        self.counts.send_replace(Counts {
            peak_reports: in_flight,
            ..Counts::default()
        });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A report call that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    ledger: &'a Ledger,
    number: u64,
}

impl UnderWay<'_> {
    /// Notes the answer that is about to be sent.
    pub(super) fn answered(&self, status: u16, whole: bool) {
        let mut book = self.ledger.book();
        // Before the first: the counts were reset while the call was under way.
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
        self.ledger.book().in_flight -= 1;
    }
}
