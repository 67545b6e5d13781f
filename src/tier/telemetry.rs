//! Metrics of the tiers.

use std::time::Duration;

use jiff::SignedDuration;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::TierState;

const READS: &str = "pitaya_tier_reads_total";
const PUTS: &str = "pitaya_tier_puts_total";
const BYTES: &str = "pitaya_tier_bytes_total";
const SECONDS: &str = "pitaya_tier_seconds";
const STATE: &str = "pitaya_tier_state";
const DISK_BYTES: &str = "pitaya_tier_disk_bytes";
const QUEUE_BYTES: &str = "pitaya_tier_queue_bytes";
const CLAIMS: &str = "pitaya_tier_claims_total";
const REPLICAS: &str = "pitaya_tier_replicas";
const OFFSET: &str = "pitaya_tier_clock_offset_seconds";
const REBUILDS: &str = "pitaya_tier_rebuilds_total";

named! {
    /// Outcome of the look-up of a month.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Outcome {
        /// Found.
        Hit = "hit",
        /// Not found.
        Miss = "miss",
        /// Found, but purged.
        Purged = "purged",
        /// Found with another zone.
        Shape = "shape",
        /// Found, but damaged or forged.
        Corrupt = "corrupt",
        /// The read exceeded its limit.
        Timeout = "timeout",
        /// Not read: the folder is not open, or the store cannot be reached.
        Skipped = "skipped",
    }
}

named! {
    /// Outcome of writing a page.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Put {
        /// Written.
        Stored = "stored",
        /// Written together with the page's own cells.
        Merged = "merged",
        /// Other replicas kept changing it.
        Conflict = "conflict",
        /// The store did not take it.
        Refused = "refused",
        /// Not written, because the queue was full or after a failure.
        Dropped = "dropped",
    }
}

pub(super) fn read(outcome: Outcome, months: usize) {
    counter!(READS, "outcome" => outcome.name()).increment(months as u64);
}

/// Pages that were found, by outcome, and their bytes. They are told together when it is dropped: a counter takes a while to find.
#[derive(Debug, Default)]
pub(super) struct Pages {
    months: [usize; Outcome::ALL.len()],
    bytes: usize,
}

impl Pages {
    pub(super) fn add(&mut self, outcome: Outcome, bytes: usize) {
        self.months[outcome as usize] += 1;
        self.bytes += bytes;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for (outcome, months) in Outcome::ALL.into_iter().zip(self.months) {
            if months > 0 {
                read(outcome, months);
            }
        }
        bytes("read", self.bytes);
    }
}

pub(super) fn put(outcome: Put, months: usize) {
    counter!(PUTS, "outcome" => outcome.name()).increment(months as u64);
}

pub(super) fn claimed(mine: u32, theirs: u32) {
    for (outcome, days) in [("mine", mine), ("theirs", theirs)] {
        if days != 0 {
            counter!(CLAIMS, "outcome" => outcome).increment(1);
        }
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
fn state(state: TierState, queued: usize) {
    for known in TierState::ALL {
        gauge!(STATE, "state" => known.name()).set(if known == state { 1.0 } else { 0.0 });
    }
    gauge!(QUEUE_BYTES).set(queued as f64);
}

/// Updates the gauges of the disk tier.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(super) fn measure_disk(now: TierState, disk: u64, queued: usize) {
    state(now, queued);
    gauge!(DISK_BYTES).set(disk as f64);
}

/// Updates the gauges of the shared tier.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(super) fn measure_shared(
    now: TierState,
    queued: usize,
    replicas: usize,
    offset: SignedDuration,
) {
    state(now, queued);
    gauge!(REPLICAS).set(replicas as f64);
    gauge!(OFFSET).set(offset.as_secs_f64());
}

/// Describes the metrics of the tiers, and starts their counters at zero. Call it after the installation of the recorder.
pub fn describe_metrics() {
    describe_counter!(
        READS,
        "Months of a site's metric looked up in the cache on disk or the shared store, by outcome."
    );
    describe_counter!(
        PUTS,
        "Months of a site's metric to be written to the cache on disk or the shared store, by outcome."
    );
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of pages read from or written to the cache on disk or the shared store, by direction."
    );
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "Duration of operations of the cache on disk or the shared store, by operation."
    );
    describe_gauge!(
        STATE,
        "1 for the current state of the cache on disk or the shared store, by state."
    );
    describe_gauge!(
        DISK_BYTES,
        Unit::Bytes,
        "Bytes of the files of the cache on disk."
    );
    describe_gauge!(
        QUEUE_BYTES,
        Unit::Bytes,
        "Bytes of cells still to be written to the cache on disk or the shared store."
    );
    describe_counter!(
        CLAIMS,
        "Months of a site's metric to fetch, by the replica that fetches them: this one (mine), another one (theirs), or this one without the store's consent (alone)."
    );
    describe_counter!(REBUILDS, "Connections to the shared store after the first.");
    describe_gauge!(REPLICAS, "Live replicas, including this one.");
    describe_gauge!(
        OFFSET,
        Unit::Seconds,
        "How far the clock of the shared store is ahead of this machine's."
    );
    for outcome in Outcome::ALL {
        read(outcome, 0);
    }
    for outcome in Put::ALL {
        put(outcome, 0);
    }
    for direction in ["read", "write"] {
        bytes(direction, 0);
    }
    for outcome in ["mine", "theirs", "alone"] {
        counter!(CLAIMS, "outcome" => outcome).increment(0);
    }
    counter!(REBUILDS).increment(0);
}
