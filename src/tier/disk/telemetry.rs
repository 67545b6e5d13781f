//! Metrics of the disk tier.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::tier::TierState;

const READS: &str = "pitaya_tier_reads_total";
const PUTS: &str = "pitaya_tier_puts_total";
const BYTES: &str = "pitaya_tier_bytes_total";
const SECONDS: &str = "pitaya_tier_seconds";
const STATE: &str = "pitaya_tier_state";
const DISK_BYTES: &str = "pitaya_tier_disk_bytes";
const QUEUE_BYTES: &str = "pitaya_tier_queue_bytes";

named! {
    /// Outcome of the look-up of a month.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Outcome {
        /// Found.
        Hit = "hit",
        /// Not found.
        Miss = "miss",
        /// Found with another zone.
        Shape = "shape",
        /// Found, but damaged or forged.
        Corrupt = "corrupt",
        /// The read exceeded its limit.
        Timeout = "timeout",
        /// The folder is not open.
        Skipped = "skipped",
    }
}

pub(super) fn read(outcome: Outcome, months: usize) {
    counter!(READS, "outcome" => outcome.name()).increment(months as u64);
}

pub(super) fn stored(merged: bool) {
    counter!(PUTS, "outcome" => if merged { "merged" } else { "stored" }).increment(1);
}

pub(super) fn dropped(months: usize) {
    counter!(PUTS, "outcome" => "dropped").increment(months as u64);
}

pub(super) fn bytes(direction: &'static str, bytes: usize) {
    counter!(BYTES, "dir" => direction).increment(bytes as u64);
}

pub(super) fn took(what: &'static str, took: Duration) {
    histogram!(SECONDS, "op" => what).record(took.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(super) fn measure(state: TierState, disk: u64, queued: usize) {
    for known in TierState::ALL {
        gauge!(STATE, "state" => known.name()).set(if known == state { 1.0 } else { 0.0 });
    }
    gauge!(DISK_BYTES).set(disk as f64);
    gauge!(QUEUE_BYTES).set(queued as f64);
}

/// Describes the metrics of the disk tier, and starts its counters at zero. Call it after the installation of the recorder.
pub fn describe_metrics() {
    describe_counter!(
        READS,
        "Months of a site's metric that were looked for in the cache on disk, by what was there."
    );
    describe_counter!(
        PUTS,
        "Months of a site's metric that were to be written to the cache on disk, by what became of them."
    );
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of pages of the cache on disk, by direction."
    );
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "How long the cache on disk took, by operation."
    );
    describe_gauge!(
        STATE,
        "The state of the cache on disk: 1 for the one that it is in."
    );
    describe_gauge!(
        DISK_BYTES,
        Unit::Bytes,
        "Bytes that the cache takes on disk."
    );
    describe_gauge!(
        QUEUE_BYTES,
        Unit::Bytes,
        "Bytes of cells that are to be written to the cache on disk."
    );
    for outcome in Outcome::ALL {
        read(outcome, 0);
    }
    for outcome in ["stored", "merged", "dropped"] {
        counter!(PUTS, "outcome" => outcome).increment(0);
    }
    for direction in ["read", "write"] {
        bytes(direction, 0);
    }
}
