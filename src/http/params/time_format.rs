//! Checks that every time of an answer has one offset from UTC, where the answer tells it.

use super::faults::ParameterFault;
use super::traffic::TrafficParams;
use super::values::TIME_FORMAT;
use crate::domain::bucket::Bucket;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::{GroupBy, TimeFormat};
use crate::domain::site::CustomerId;

/// Most sites that a fault names.
const NAMED: usize = 5;

/// The fault of a format that needs the zone of each site, and one zone for each time.
pub(super) fn fault(
    params: &TrafficParams,
    customer: CustomerId,
    directory: &SiteDirectory,
) -> Option<ParameterFault> {
    if params.time_format == TimeFormat::Local {
        return None;
    }
    let (mut zones, mut without) = (Vec::new(), Vec::new());
    for site in &params.sites {
        match directory.zone(customer, *site) {
            None => without.push(site.to_string()),
            Some(zone) if zones.contains(&zone) => {}
            Some(zone) => zones.push(zone),
        }
    }
    let has_times = !matches!(params.bucket, Bucket::Profile(_));
    let problem = if !without.is_empty() {
        let others = match without.len().saturating_sub(NAMED) {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        without.truncate(NAMED);
        format!(
            "needs the time zone of every site, but that of {}{others} is not configured",
            without.join(", ")
        )
    } else if has_times && params.group_by == GroupBy::None && zones.len() > 1 {
        "needs one time zone for each series, but group_by=none combines sites of several; ask for group_by=site"
            .to_owned()
    } else {
        return None;
    };
    Some(ParameterFault {
        parameter: TIME_FORMAT.name.to_owned(),
        detail: format!("{problem}, {}", TIME_FORMAT.hint()),
    })
}
