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
        list_value::query_strings(raw, |query| {
            let faults = http::faults_of_query(query, settings, directory);
            Problems::or(faults.into_iter().map(Problem::new).collect(), ())
        })
    });
    reader.or_default(&keys::WARM_QUERIES, queries)
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
