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
    let mut left_out = Vec::new();
    params.sites.retain(|site| {
        let entry = terms.directory.entry(customer, *site);
        let reason = entry.and_then(|entry| entry.not_open(both));
        left_out.extend(reason.map(|reason| (*site, reason)));
        reason.is_none()
    });
    if params.sites.is_empty() {
        return Err(ParameterFault {
            parameter: COMPARABLE.name.to_owned(),
            detail: format!(
                "leaves no site: none of them was open all through {both}; ask for other dates or sites, or leave it out"
            ),
        });
    }
    if let GroupBy::Tag(of_all) = &params.group_by
        && !left_out.is_empty()
    {
        let fewer = grouping(&of_all.key, terms, customer, &params.sites);
        params.group_by = GroupBy::Tag(Arc::new(fewer));
    }
    Ok(comparison.without(left_out))
}
