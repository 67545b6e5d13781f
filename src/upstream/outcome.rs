//! What came of a part of a fetch, and how parts come together.

use std::sync::Arc;

use super::error::UpstreamError;
use crate::domain::cell::{Cell, CellKey, ReportRequest};

/// What came of a part of a fetch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) cells: Vec<(CellKey, Cell)>,
    pub(super) failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
}

impl Outcome {
    pub(super) fn failed(request: ReportRequest, error: Arc<UpstreamError>) -> Self {
        Self {
            cells: Vec::new(),
            failures: vec![(request, error)],
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.cells.extend(other.cells);
        self.failures.extend(other.failures);
    }

    pub(super) fn all(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for outcome in outcomes {
            all.extend(outcome);
        }
        all
    }
}
