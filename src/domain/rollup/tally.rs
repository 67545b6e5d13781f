//! Accumulates the observed figures of one column.

use crate::domain::plan::Column;

/// Accumulated figures of one column in one bucket. Merging is associative, so any split of the work gives the same answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) first: Option<f64>,
    pub(super) second: Option<f64>,
}

impl Tally {
    pub(super) fn merge(self, other: Self, column: Column) -> Self {
        let first = match (column, self.first, other.first) {
            (Column::Peak(_), Some(one), Some(two)) => Some(one.max(two)),
            (_, one, two) => plus(one, two),
        };
        Self {
            first,
            second: plus(self.second, other.second),
        }
    }

    pub(super) fn result(self, column: Column) -> f64 {
        let quotient = |part: Option<f64>, whole: Option<f64>| match (part, whole) {
            (Some(part), Some(whole)) if whole > 0.0 => Some(part / whole),
            _ => None,
        };
        let result = match column {
            Column::Sum(_) | Column::Peak(_) => self.first,
            Column::Mean(_) | Column::WeightedMean { .. } | Column::Ratio { .. } => {
                quotient(self.first, self.second)
            }
            Column::Share { .. } => self
                .second
                .and_then(|rest| quotient(self.first, plus(self.first, Some(rest)))),
        };
        result
            .filter(|result| result.is_finite())
            .unwrap_or(f64::NAN)
    }
}

/// Adds observed figures; saturates instead of becoming infinite.
pub(super) fn plus(one: Option<f64>, two: Option<f64>) -> Option<f64> {
    match (one, two) {
        (Some(one), Some(two)) => Some((one + two).min(f64::MAX)),
        (one, two) => one.or(two),
    }
}
