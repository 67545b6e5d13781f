//! Strict parameters: they accept exactly the documented forms, and report every fault of a request in one answer.

mod bucket;
mod cache;
mod calendar;
mod comparable;
mod compare;
mod decode;
mod faults;
mod form;
mod grouping;
mod limits;
mod meant;
mod resolve;
mod revisions;
mod schema;
mod scope;
mod shown;
mod site_list;
mod site_words;
mod terms;
mod time_format;
mod traffic;
mod values;

pub(super) use limits::check as check_limits;
pub(super) use shown::{shown, without_keys};

pub use cache::{CacheParams, PurgeTarget};
pub use faults::ParameterFault;
pub use form::check_form;
pub use limits::TooLarge;
pub use resolve::Rejection;
pub use revisions::{RevisionFilter, RevisionParams, last_event_id};
pub use scope::Scope;
pub use site_list::SiteListParams;
pub use terms::Terms;
pub use traffic::TrafficParams;

/// Checks the query string of a route that takes no parameters.
///
/// # Errors
///
/// A fault for each parameter.
pub fn parse_none(query: Option<&str>) -> Result<(), Vec<ParameterFault>> {
    decode::Reader::new(query, &[]).faults.or_ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_parameters_refuses_each() {
        assert_eq!(parse_none(None), Ok(()));
        assert_eq!(parse_none(Some("")), Ok(()));

        let faults = parse_none(Some("customer=1&x=2")).unwrap_err();

        let names: Vec<_> = faults.iter().map(|fault| &fault.parameter).collect();
        assert_eq!(names, ["customer", "x"]);
    }
}
