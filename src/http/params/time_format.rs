//! Checks that every time of an answer has one offset from UTC, if the answer shows offsets.

use super::faults::{ParameterFault, several};
use super::traffic::TrafficParams;
use super::values::TIME_FORMAT;
use crate::domain::bucket::Bucket;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{GroupBy, TimeFormat};
use crate::domain::site::{CustomerId, SiteId};

/// The fault of a format that needs the zone of each site, and one zone for each time.
pub(super) fn fault(
    params: &TrafficParams,
    customer: CustomerId,
    directory: &SiteDirectory,
) -> Option<ParameterFault> {
    if params.time_format == TimeFormat::Local {
        return None;
    }
    let zone = |site: SiteId| directory.zone(customer, site);
    let without = params.sites.iter().filter(|site| zone(**site).is_none());
    let without = several(without.copied());
    let in_several = |places: &[usize]| {
        let mut zones = places.iter().map(|place| zone(params.sites[*place]));
        let first = zones.next();
        first.is_some_and(|first| zones.any(|zone| zone != first))
    };
    let is_mixed = || match &params.group_by {
        GroupBy::Site => false,
        GroupBy::None => in_several(&(0..params.sites.len()).collect::<Vec<_>>()),
        GroupBy::Tag(grouping) => grouping.sites.iter().any(|places| in_several(places)),
    };
    let has_times = !matches!(params.bucket, Bucket::Profile(_));
    let problem = if let Some(without) = without {
        format!("needs the time zone of every site, but that of {without} is not configured")
    } else if has_times && is_mixed() {
        format!(
            "needs one time zone for each series, but group_by={} combines sites of several; ask for group_by=site",
            params.group_by.name()
        )
    } else {
        return None;
    };
    Some(TIME_FORMAT.fault_as_in(problem))
}
