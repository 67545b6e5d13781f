//! Checks what a query asks for against the format of its answer.

use super::faults::ParameterFault;
use super::values::INCLUDE;
use crate::domain::query::Query;
use crate::http::present::Format;

/// Checks that an answer in `format` has a place for everything that `query` asks for.
///
/// # Errors
///
/// A fault for each parameter whose result has no place in that format.
pub fn check_form(query: &Query, format: Format) -> Result<(), Vec<ParameterFault>> {
    if query.include.totals && format != Format::Json {
        return Err(vec![ParameterFault {
            parameter: INCLUDE.name.to_owned(),
            detail: format!(
                "totals stand beside the rows, which only format=json has a place for, not {}",
                format.name()
            ),
        }]);
    }
    Ok(())
}
