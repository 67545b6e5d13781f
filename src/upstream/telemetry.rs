//! Metrics of the vendor's client.

use std::time::{Duration, Instant};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::UpstreamError;
use super::doubt::Doubt;
use super::status::{CircuitState, TokenSharingState, TokenState};

const REPORTS: &str = "pitaya_upstream_reports_total";
const REPORT_DURATION: &str = "pitaya_upstream_report_duration_seconds";
const RESPONSE_BYTES: &str = "pitaya_upstream_response_bytes_total";
const CELLS: &str = "pitaya_upstream_cells_fetched_total";
const RETRIES: &str = "pitaya_upstream_retries_total";
const ROWS_IGNORED: &str = "pitaya_upstream_rows_ignored_total";
const DOUBTS: &str = "pitaya_upstream_doubts_total";
const CIRCUIT: &str = "pitaya_upstream_circuit_state";
const REFRESHES: &str = "pitaya_upstream_token_refreshes_total";
const TOKENS: &str = "pitaya_upstream_token_state";
const SHARING: &str = "pitaya_upstream_token_sharing_state";
const PUT_BACK: &str = "pitaya_upstream_tokens_put_back_total";
const UNREADABLE: &str = "pitaya_upstream_tokens_unreadable_total";
const DENIED: &str = "pitaya_upstream_token_renewals_denied_total";
const REASONS: [&str; 6] = ["busy", "paused", "in_doubt", "quarantine", "away", "alone"];
const EXPIRY: &str = "pitaya_upstream_token_expiry_timestamp_seconds";
const WAITING: &str = "pitaya_upstream_waiting_reports";
const PLACES: &str = "pitaya_upstream_max_concurrency";
const OWN_PLACES: &str = "pitaya_upstream_own_places";
/// Every outcome of a call.
const OUTCOMES: [&str; 13] = [
    "success",
    "timeout",
    "connection",
    "throttled",
    "circuit_open",
    "server_error",
    "client_error",
    "untrusted",
    "undecodable",
    "truncated",
    "too_large",
    "credentials",
    "internal",
];
/// Outcome of a passed report whose caller hung up before its end.
const ABANDONED: &str = "abandoned";
const STORE_FAILURES: &str = "pitaya_upstream_token_store_failures_total";

/// Describes the metrics of this room to the installed recorder.
pub fn describe_metrics() {
    describe_counter!(
        REPORTS,
        "Report calls to the vendor by outcome, counting each attempt."
    );
    describe_histogram!(
        REPORT_DURATION,
        Unit::Seconds,
        "Duration of one report call, from sending to the last byte."
    );
    describe_counter!(
        RESPONSE_BYTES,
        Unit::Bytes,
        "Decoded bytes of the vendor's answers."
    );
    describe_counter!(CELLS, "Cells (site, day, metric) fetched by reports.");
    describe_counter!(RETRIES, "Retried report calls.");
    describe_counter!(ROWS_IGNORED, "Rows outside the requested dates.");
    describe_counter!(
        DOUBTS,
        "Doubts that change a figure, or would have changed one if Pitaya had guessed, by kind."
    );
    describe_gauge!(
        CIRCUIT,
        "The circuit to the vendor: 0 closed, 1 half open, 2 open."
    );
    describe_counter!(REFRESHES, "Calls for new tokens, by outcome.");
    describe_gauge!(TOKENS, "1 for the current state of the tokens, by state.");
    describe_counter!(
        STORE_FAILURES,
        "Failed attempts to write new tokens to the token store."
    );
    describe_gauge!(
        SHARING,
        "1 for the current state of sharing the tokens with other replicas, by state."
    );
    describe_counter!(
        PUT_BACK,
        "Times that this replica put the newest tokens back into a shared store that had lost them."
    );
    describe_counter!(
        UNREADABLE,
        "Times that the shared store held something undecryptable in the place of the tokens."
    );
    describe_counter!(
        DENIED,
        "Token renewals that this replica left to others or delayed, by reason."
    );
    counter!(PUT_BACK).increment(0);
    counter!(UNREADABLE).increment(0);
    for reason in REASONS {
        counter!(DENIED, "reason" => reason).increment(0);
    }
    describe_gauge!(
        EXPIRY,
        Unit::Seconds,
        "Expiry time of the ID token, in seconds since 1970; 0 without a token or a known expiry."
    );
    describe_gauge!(
        WAITING,
        "Reports that wait for a place at the vendor (upstream.max_concurrency)."
    );
    describe_gauge!(
        PLACES,
        "The configured maximum of concurrent reports (upstream.max_concurrency)."
    );
    describe_gauge!(
        OWN_PLACES,
        "Places at the vendor that this process may use: all, unless replicas share them."
    );
    // Present from the start, so that an alert sees the first failure as an increase.
    for outcome in OUTCOMES {
        counter!(REPORTS, "outcome" => outcome).increment(0);
        counter!(REFRESHES, "outcome" => outcome).increment(0);
    }
    counter!(REPORTS, "outcome" => ABANDONED).increment(0);
    for counted in [RESPONSE_BYTES, CELLS, RETRIES, ROWS_IGNORED, STORE_FAILURES] {
        counter!(counted).increment(0);
    }
    for doubt in Doubt::ALL {
        counter!(DOUBTS, "kind" => doubt.name()).increment(0);
    }
}

/// Sets the gauges of waiting reports, of the places (all, and this process's own), and of the tokens' expiry.
pub(super) fn measure(waiting: usize, (places, own): (usize, usize), expiry: Option<f64>) {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    gauge!(WAITING).set(float(waiting));
    gauge!(PLACES).set(float(places));
    gauge!(OWN_PLACES).set(float(own));
    gauge!(EXPIRY).set(expiry.unwrap_or(0.0));
}

/// Counts one report call.
pub(super) fn report(error: Option<&UpstreamError>, took: Duration) {
    counter!(REPORTS, "outcome" => error.map_or("success", outcome)).increment(1);
    histogram!(REPORT_DURATION).record(took.as_secs_f64());
}

/// A report call that its caller awaits. It counts once: at its end, or as abandoned.
#[derive(Debug)]
pub(super) struct PassedReport {
    began: Instant,
    has_ended: bool,
}

impl PassedReport {
    /// A call that begins now.
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            has_ended: false,
        }
    }

    /// Counts the end of the call.
    pub(super) fn end(mut self, error: Option<&UpstreamError>) {
        self.has_ended = true;
        report(error, self.began.elapsed());
    }
}

impl Drop for PassedReport {
    fn drop(&mut self) {
        if !self.has_ended {
            counter!(REPORTS, "outcome" => ABANDONED).increment(1);
            histogram!(REPORT_DURATION).record(self.began.elapsed().as_secs_f64());
        }
    }
}

/// Counts a call for new tokens.
pub(super) fn refresh(error: Option<&UpstreamError>) {
    counter!(REFRESHES, "outcome" => error.map_or("success", outcome)).increment(1);
}

/// Counts the bytes of an answer.
pub(super) fn response_bytes(bytes: u64) {
    counter!(RESPONSE_BYTES).increment(bytes);
}

/// Counts the cells of a fetch.
pub(super) fn cells(cells: usize) {
    counter!(CELLS).increment(cells.try_into().unwrap_or(u64::MAX));
}

/// Counts an attempt after the first.
pub(super) fn retry() {
    counter!(RETRIES).increment(1);
}

/// Counts rows outside the requested dates.
pub(super) fn rows_ignored(rows: u64) {
    counter!(ROWS_IGNORED).increment(rows);
}

/// Counts a doubt.
pub(super) fn doubt(doubt: Doubt) {
    counter!(DOUBTS, "kind" => doubt.name()).increment(1);
}

/// Counts a failed attempt to write new tokens to disk.
pub(super) fn store_failure() {
    counter!(STORE_FAILURES).increment(1);
}

/// Publishes the circuit's state.
pub(super) fn circuit_state(state: CircuitState) {
    gauge!(CIRCUIT).set(match state {
        CircuitState::Closed => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open => 2.0,
    });
}

/// Publishes the tokens' state.
pub(super) fn token_state(state: TokenState) {
    for each in TokenState::ALL {
        gauge!(TOKENS, "state" => each.name()).set(if each == state { 1.0 } else { 0.0 });
    }
}

/// Publishes whether the replicas agree on the tokens.
pub(super) fn token_sharing_state(state: TokenSharingState) {
    for each in TokenSharingState::ALL {
        gauge!(SHARING, "state" => each.name()).set(if each == state { 1.0 } else { 0.0 });
    }
}

/// Counts tokens put back into a store that had lost them.
pub(super) fn tokens_put_back() {
    counter!(PUT_BACK).increment(1);
}

/// Counts a read of a value in the shared store that is not our record.
pub(super) fn tokens_unreadable() {
    counter!(UNREADABLE).increment(1);
}

/// Counts a renewal that this replica skipped or delayed, by reason.
pub(super) fn renewal_denied(reason: &'static str) {
    counter!(DENIED, "reason" => reason).increment(1);
}

fn outcome(error: &UpstreamError) -> &'static str {
    match error {
        UpstreamError::Timeout | UpstreamError::ConnectTimeout | UpstreamError::StillFetching => {
            "timeout"
        }
        UpstreamError::Connection(_) => "connection",
        UpstreamError::Throttled { .. } => "throttled",
        UpstreamError::CircuitOpen { .. } => "circuit_open",
        UpstreamError::Status(500..) => "server_error",
        UpstreamError::Status(_) => "client_error",
        UpstreamError::Untrusted(_) => "untrusted",
        UpstreamError::Undecodable(_) => "undecodable",
        UpstreamError::Truncated => "truncated",
        UpstreamError::TooLarge { .. } => "too_large",
        UpstreamError::Credentials(_) => "credentials",
        // Nobody counts a call that was not made.
        UpstreamError::Internal(_) | UpstreamError::NotCached => "internal",
    }
}
