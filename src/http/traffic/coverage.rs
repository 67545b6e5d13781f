//! The metric of the coverage of answers.

use metrics::{counter, describe_counter};

use crate::domain::coverage::Summary;

const ROWS: &str = "pitaya_answer_rows_total";

/// Describes the metric to the installed recorder.
pub(in crate::http) fn describe_metrics() {
    describe_counter!(
        ROWS,
        "Rows with expected figures in rendered answers, by coverage: complete (whole) or not (partial)."
    );
    add(0, 0);
}

/// Counts the rows of an answer that is rendered. One that is kept is not counted again.
pub(super) fn count(coverage: Summary) {
    add(coverage.rows - coverage.rows_below_1, coverage.rows_below_1);
}

fn add(whole: usize, partial: usize) {
    for (coverage, rows) in [("whole", whole), ("partial", partial)] {
        counter!(ROWS, "coverage" => coverage).increment(rows as u64);
    }
}
