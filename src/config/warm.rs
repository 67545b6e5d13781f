//! The table `[warm]`: queries whose figures Pitaya fetches before a caller requests them.

use super::error::{Problem, Problems};
use super::keys;
use super::list_value;
use super::reader::Reader;
use crate::domain::directory::SiteDirectory;
use crate::http;

/// Reads the queries. Each must be valid for a caller under these settings.
pub(super) fn queries(
    reader: &mut Reader<'_>,
    settings: &http::Settings,
    directory: &SiteDirectory,
) -> Vec<String> {
    let queries = reader.read_as(&keys::WARM_QUERIES, |raw| {
        let queries = list_value::query_strings(raw)?;
        let several = queries.len() > 1;
        let mut problems = Vec::new();
        for (index, query) in queries.iter().enumerate() {
            for problem in http::faults_of_query(query, settings, directory) {
                let problem = Problem::new(problem);
                problems.push(if several {
                    problem.of_item(index + 1)
                } else {
                    problem
                });
            }
        }
        Problems::or(problems, queries)
    });
    queries.unwrap_or_else(|| {
        let none = keys::WARM_QUERIES.default_value();
        reader.show(&keys::WARM_QUERIES, &none);
        none
    })
}

/// The number of places at the vendor in `share` of `all`: at least one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are few, and a share of them is between zero and all"
)]
pub(super) fn places(share: f64, all: usize) -> usize {
    ((all as f64 * share) as usize).max(1)
}
