//! The doubts about one site's rows.

use std::collections::BTreeMap;

use crate::domain::site::SiteId;
use crate::upstream::doubt::Doubt;
use crate::upstream::telemetry;
use crate::upstream::wire::ReportShape;

/// The doubts about one site's rows: the first bucket of each kind, and the count.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<Doubt, (usize, u64)>);

impl Doubts {
    /// Records a doubt about the bucket at `place`.
    pub(super) fn note(&mut self, doubt: Doubt, place: usize) {
        let (first, count) = self.0.entry(doubt).or_insert((place, 0));
        *first = place.min(*first);
        *count += 1;
    }

    /// Reports the doubts in the log and in a metric.
    pub(super) fn tell(&self, shape: &ReportShape, site: SiteId) {
        for (doubt, (first, figures)) in &self.0 {
            let date = shape.date(first / shape.slots());
            tracing::warn!(%site, %date, figures, "{}", doubt.what());
            telemetry::doubt(*doubt);
        }
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<Doubt> {
        self.0.keys().copied().collect()
    }
}
