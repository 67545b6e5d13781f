//! The table `[warm]`: queries whose figures Pitaya fetches before a caller requests them.

use toml::Value;

use super::error::{Problem, Problems};
use super::keys;
use super::reader::Reader;
use super::value::{self, Raw};
use crate::domain::directory::SiteDirectory;
use crate::http;

/// Query strings, which are allowed only in the file.
pub(super) fn texts(raw: Raw<'_>) -> Result<Vec<String>, Problems> {
    match raw {
        Raw::Text(_) | Raw::NotText => Err(Problem::new(
            "is allowed only in the file, as a list of texts, because query strings contain commas",
        )
        .into()),
        Raw::Toml(_) => value::every(raw, |item| item.text().map(str::to_owned)),
    }
}

/// A share above 0 and up to 1.
pub(super) fn share(raw: Raw<'_>) -> Result<f64, Problem> {
    const FORM: &str = "a share above 0 and up to 1, such as 0.25";
    let (written, share) = match raw {
        Raw::Toml(Value::Float(share)) => (share.to_string(), Some(*share)),
        Raw::Toml(Value::Integer(whole)) => (whole.to_string(), (*whole == 1).then_some(1.0)),
        other => {
            let text = other.text()?;
            (text.to_owned(), text.parse().ok())
        }
    };
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| Problem::echo(written, FORM))
}

/// The queries, each of which a caller could send under these settings.
pub(super) fn queries(
    reader: &mut Reader<'_>,
    settings: &http::Settings,
    directory: &SiteDirectory,
) -> Vec<String> {
    let queries = reader.read_as(&keys::WARM_QUERIES, |raw| {
        let queries = texts(raw)?;
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

/// The number of places at the vendor that make up `share` of `all`: at least one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are few, and a share of them is between none and all"
)]
pub(super) fn places(share: f64, all: usize) -> usize {
    ((all as f64 * share) as usize).max(1)
}
