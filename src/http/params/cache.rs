//! The parameters of a purge.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decode::split;
use super::faults::{Faults, ParameterFault};
use super::resolve::{Rejection, resolve_dates};
use super::terms::Terms;
use super::values::{DATES, SITES, parse_dates, parse_sites};
use crate::domain::date_expression::DateExpression;
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

/// Parameters of a purge, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheParams {
    /// Sites; `None`: all.
    pub sites: Option<Vec<SiteId>>,
    /// Dates; `None`: all.
    pub dates: Option<DateExpression>,
}

/// Cells to purge, always within the caller's scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeTarget {
    /// Owners of the figures.
    pub customers: Vec<CustomerId>,
    /// Sites; `None`: all.
    pub sites: Option<BTreeSet<SiteId>>,
    /// Dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl CacheParams {
    /// Parses a raw query string.
    ///
    /// # Errors
    ///
    /// All faults (up to a hundred).
    pub fn parse(query: Option<&str>) -> Result<Self, Vec<ParameterFault>> {
        let mut faults = Faults::default();
        let [sites, dates] = split(query, &[SITES, DATES], &mut faults);
        let sites = parse_sites(&sites, &mut faults);
        let dates = parse_dates(&dates, &mut faults);
        faults.or_ok(Self { sites, dates })
    }

    /// Cells to purge by these `terms` at `now`.
    ///
    /// # Errors
    ///
    /// `Forbidden` for a site that no customer in the caller's scope allows.
    pub fn resolve(self, terms: &Terms<'_>, now: Timestamp) -> Result<PurgeTarget, Rejection> {
        let Terms {
            scope, directory, ..
        } = *terms;
        let sites = match self.sites {
            Some(sites) => {
                let visible = |site: &SiteId| {
                    scope
                        .customers
                        .iter()
                        .any(|customer| scope.allows(directory, *customer, *site))
                };
                if !sites.iter().all(visible) {
                    return Err(Rejection::Forbidden);
                }
                Some(sites.into_iter().collect())
            }
            None => scope.sites.cloned(),
        };
        let places = scope.customers.iter().flat_map(|customer| {
            let sites = sites.iter().flatten();
            sites.map(|site: &SiteId| (*customer, *site))
        });
        let dates = self
            .dates
            .map(|dates| {
                let calendar = terms.default_calendar();
                resolve_dates(dates, &calendar, places, directory, now)
            })
            .transpose()?;
        Ok(PurgeTarget {
            customers: scope.customers.to_vec(),
            sites,
            dates,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::*;
    use crate::domain::directory::SiteDirectory;
    use crate::http::testing;

    fn target(query: Option<&str>, sites: Option<&[u64]>) -> Result<PurgeTarget, Rejection> {
        let site = |id: &u64| SiteId::new(*id).unwrap();
        let sites: Option<BTreeSet<_>> = sites.map(|ids| ids.iter().map(site).collect());
        let customers = [1, 2].map(|id| CustomerId::new(id).unwrap());
        let terms = Terms {
            scope: Scope {
                customers: &customers,
                sites: sites.as_ref(),
            },
            directory: &SiteDirectory::default(),
            settings: &testing::settings(),
        };
        let now = "2026-02-18T12:00:00Z".parse().unwrap();
        let params = CacheParams::parse(query).unwrap();
        params.resolve(&terms, now)
    }

    #[test]
    fn without_parameters_the_purge_covers_the_callers_whole_scope() {
        let all = target(None, None).unwrap();
        let own = target(None, Some(&[7])).unwrap();

        assert_eq!(all.customers.len(), 2);
        assert_eq!((all.sites, all.dates), (None, None));
        assert_eq!(own.sites.unwrap().len(), 1);
    }

    #[test]
    fn sites_and_dates_narrow_it_down() {
        let target = target(Some("sites=7,8,7&dates=yesterday"), None).unwrap();

        assert_eq!(target.sites.unwrap().len(), 2);
        assert_eq!(target.dates.unwrap().to_string(), "2026-02-17");
    }

    #[test]
    fn a_site_out_of_scope_is_forbidden() {
        assert_eq!(
            target(Some("sites=7,8"), Some(&[7])),
            Err(Rejection::Forbidden)
        );
    }

    #[test]
    fn the_forms_are_as_strict_as_those_of_a_query() {
        let faults = CacheParams::parse(Some("sites=1,,2&dates=x&customer=1&all")).unwrap_err();

        let names: Vec<_> = faults
            .iter()
            .map(|fault| fault.parameter.as_str())
            .collect();
        assert_eq!(names, ["customer", "all", "sites", "dates"]);
    }
}
