//! The use that each client makes of the service.

use std::collections::BTreeSet;

use http::StatusCode;
use metrics::{Counter, counter, describe_counter};

use crate::service::CellCounts;

const REQUESTS: &str = "pitaya_client_requests_total";
const CELLS: &str = "pitaya_client_cells_total";

/// Describes these metrics to the installed recorder.
pub(super) fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests by client and outcome.");
    describe_counter!(
        CELLS,
        "Cells that queries needed, by client and source. A kept rendered answer needs none."
    );
}

/// Counters of one client. They begin at zero with its configuration.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    answered: Counter,
    refused: Counter,
    failed: Counter,
    cached: Counter,
    missing: Counter,
}

impl Usage {
    /// The counters of the client of that name.
    pub(super) fn of(client: &str) -> Self {
        let counter = |metric: &'static str, label: &'static str, value: &'static str| {
            let counter = counter!(metric, "client" => client.to_owned(), label => value);
            counter.increment(0);
            counter
        };
        let requests = |outcome| counter(REQUESTS, "outcome", outcome);
        let cells = |source| counter(CELLS, "source", source);
        Self {
            answered: requests("answered"),
            refused: requests("refused"),
            failed: requests("failed"),
            cached: cells("cache"),
            missing: cells("vendor"),
        }
    }

    /// Counts a request that ended with that status.
    pub(super) fn count(&self, status: StatusCode) {
        let counter = match status.as_u16() {
            ..400 => &self.answered,
            400..500 => &self.refused,
            500.. => &self.failed,
        };
        counter.increment(1);
    }

    /// Counts the cells of an answered query.
    pub(super) fn count_cells(&self, cells: CellCounts) {
        let missing = cells.missing.min(cells.needed);
        self.missing.increment(missing as u64);
        self.cached.increment((cells.needed - missing) as u64);
    }
}

/// The text of `metrics` without the series of other clients than these.
pub(super) fn of_clients(metrics: &str, names: &BTreeSet<&str>) -> String {
    let labels: Vec<_> = names.iter().map(|name| label(name)).collect();
    let shown = |line: &&str| {
        let is_clients = [REQUESTS, CELLS].iter().any(|metric| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with('{'))
        });
        !is_clients || labels.iter().any(|label| line.contains(label))
    };
    metrics.split_inclusive('\n').filter(shown).collect()
}

/// The label of a client as the exposition format writes it.
fn label(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("client=\"{}\"", name.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_clients_are_shown_however_they_are_written() {
        let line =
            |metric: &str, client: &str| format!("{metric}{{{},outcome=\"a\"}} 1\n", label(client));
        let others = "# HELP pitaya_client_requests_total Requests.\npitaya_up 1\n";
        let (odd, gone) = ("a\"b\\c", "a");
        let text = [odd, gone].map(|client| line(REQUESTS, client) + &line(CELLS, client));

        let shown = of_clients(
            &(others.to_owned() + &text.concat()),
            &BTreeSet::from([odd]),
        );

        assert_eq!(shown, others.to_owned() + &text[0]);
        assert!(shown.contains(r#"{client="a\"b\\c","#), "{shown}");
    }
}
