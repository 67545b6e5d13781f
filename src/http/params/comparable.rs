//! Leaves out the sites of a comparison that were not open in both ranges.

use std::sync::Arc;

use super::faults::ParameterFault;
use super::grouping::grouping;
use super::terms::Terms;
use super::traffic::TrafficParams;
use super::values::COMPARABLE;
use crate::domain::comparison::Comparison;
use crate::domain::dates::DateRange;
use crate::domain::query::GroupBy;
use crate::domain::site::CustomerId;

/// Leaves only those sites in `params` that were open on every day of `dates` and of the other side, as far as is known. The comparison
/// notes the others.
///
/// # Errors
///
/// A fault if no site is left.
pub(super) fn leave_out(
    params: &mut TrafficParams,
    comparison: Comparison,
    dates: DateRange,
    customer: CustomerId,
    terms: &Terms<'_>,
) -> Result<Comparison, ParameterFault> {
    let both = comparison.span().map_or(dates, |others| others.hull(dates));
    let (mut comparable, mut left_out) = (Vec::new(), Vec::new());
    for site in &params.sites {
        let entry = terms.directory.entry(customer, *site);
        match entry.and_then(|entry| entry.not_open(both)) {
            None => comparable.push(*site),
            Some(reason) => left_out.push((*site, reason)),
        }
    }
    if comparable.is_empty() {
        return Err(COMPARABLE.fault(format!(
            "leaves no site: none of them was open all through {both}; ask for other dates or sites, or leave it out"
        )));
    }
    params.sites = comparable;
    if let GroupBy::Tag(of_all) = &params.group_by
        && !left_out.is_empty()
    {
        let fewer = grouping(&of_all.key, terms, customer, &params.sites);
        params.group_by = GroupBy::Tag(Arc::new(fewer));
    }
    Ok(comparison.without(left_out))
}
