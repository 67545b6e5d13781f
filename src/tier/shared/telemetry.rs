//! The metrics of the shared tier.

use std::time::Duration;

use jiff::SignedDuration;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge, histogram};

use crate::tier::TierState;

const READS: &str = "pitaya_tier_reads_total";
const PUTS: &str = "pitaya_tier_puts_total";
const BYTES: &str = "pitaya_tier_bytes_total";
const SECONDS: &str = "pitaya_tier_seconds";
const STATE: &str = "pitaya_tier_state";
const QUEUE_BYTES: &str = "pitaya_tier_queue_bytes";
const CLAIMS: &str = "pitaya_tier_claims_total";
const REPLICAS: &str = "pitaya_tier_replicas";
const OFFSET: &str = "pitaya_tier_clock_offset_seconds";
const REBUILDS: &str = "pitaya_tier_rebuilds_total";

/// The outcome of the look-up of a month.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Hit,
    Miss,
    Purged,
    Shape,
    Corrupt,
    Timeout,
    Skipped,
}

/// The outcome of a page to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Put {
    Stored,
    Merged,
    Conflict,
    Refused,
    Dropped,
}

pub(super) fn read(outcome: Outcome, months: usize) {
    let outcome = match outcome {
        Outcome::Hit => "hit",
        Outcome::Miss => "miss",
        Outcome::Purged => "purged",
        Outcome::Shape => "shape",
        Outcome::Corrupt => "corrupt",
        Outcome::Timeout => "timeout",
        Outcome::Skipped => "skipped",
    };
    counter!(READS, "outcome" => outcome).increment(months as u64);
}

pub(super) fn put(put: Put, months: usize) {
    let outcome = match put {
        Put::Stored => "stored",
        Put::Merged => "merged",
        Put::Conflict => "conflict",
        Put::Refused => "refused",
        Put::Dropped => "dropped",
    };
    counter!(PUTS, "outcome" => outcome).increment(months as u64);
}

pub(super) fn claimed(mine: u32, theirs: u32) {
    if mine != 0 {
        counter!(CLAIMS, "outcome" => "mine").increment(1);
    }
    if theirs != 0 {
        counter!(CLAIMS, "outcome" => "theirs").increment(1);
    }
}

pub(super) fn alone() {
    counter!(CLAIMS, "outcome" => "alone").increment(1);
}

pub(super) fn bytes(direction: &'static str, bytes: usize) {
    counter!(BYTES, "dir" => direction).increment(bytes as u64);
}

pub(super) fn took(what: &'static str, took: Duration) {
    histogram!(SECONDS, "op" => what).record(took.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(super) fn measure(state: TierState, queued: usize, replicas: usize, offset: SignedDuration) {
    for known in TierState::ALL {
        gauge!(STATE, "state" => known.name()).set(if known == state { 1.0 } else { 0.0 });
    }
    gauge!(QUEUE_BYTES).set(queued as f64);
    gauge!(REPLICAS).set(replicas as f64);
    gauge!(OFFSET).set(offset.as_secs_f64());
}

/// Describes the metrics that the shared tier has in addition to those of the disk, and starts its counters at zero. Call it after the
/// installation of the recorder.
pub fn describe_metrics() {
    describe_counter!(
        CLAIMS,
        "Months of a site's metric to be fetched, by who fetches them: this replica, another one, or this one without the store."
    );
    describe_counter!(REBUILDS, "Connections to the shared store after the first.");
    describe_gauge!(REPLICAS, "Replicas that live, this one included.");
    describe_gauge!(
        OFFSET,
        Unit::Seconds,
        "What the clock of the shared store shows more than this machine's."
    );
    read(Outcome::Purged, 0);
    put(Put::Conflict, 0);
    put(Put::Refused, 0);
    for outcome in ["mine", "theirs", "alone"] {
        counter!(CLAIMS, "outcome" => outcome).increment(0);
    }
    counter!(REBUILDS).increment(0);
}
