//! The parameters of a purge.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decode::split;
use super::faults::{Faults, ParameterFault};
use super::resolve::{Rejection, Scope, resolve_dates};
use super::values::{DATES, SITES, parse_dates, parse_sites};
use crate::domain::dates::DateRange;
use crate::domain::directory::SiteDirectory;
use crate::domain::query::DateExpression;
use crate::domain::site::{CustomerId, SiteId};

/// The parameters of a purge, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheParams {
    /// Which sites; `None`: all.
    pub sites: Option<Vec<SiteId>>,
    /// Which dates; `None`: all.
    pub dates: Option<DateExpression>,
}

/// What to forget: never more than the caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeTarget {
    /// Whose figures.
    pub customers: Vec<CustomerId>,
    /// Of which sites; `None`: all.
    pub sites: Option<BTreeSet<SiteId>>,
    /// Of which dates; `None`: all.
    pub dates: Option<DateRange>,
}

impl CacheParams {
    /// Reads a raw query string.
    ///
    /// # Errors
    ///
    /// Every fault that there is (up to a hundred).
    pub fn parse(query: Option<&str>) -> Result<Self, Vec<ParameterFault>> {
        let mut faults = Faults::default();
        let [sites, dates] = split(query, &[SITES, DATES], &mut faults);
        let sites = parse_sites(&sites, &mut faults);
        let dates = parse_dates(&dates, &mut faults);
        faults.or_ok(Self { sites, dates })
    }

    /// What to forget, as seen by a caller of that `scope` at `now`.
    ///
    /// # Errors
    ///
    /// `Forbidden` for a site that no customer of the caller's may ask for.
    pub fn resolve(
        self,
        scope: &Scope<'_>,
        directory: &SiteDirectory,
        now: Timestamp,
    ) -> Result<PurgeTarget, Rejection> {
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
            .map(|dates| resolve_dates(dates, places, directory, now))
            .transpose()?;
        Ok(PurgeTarget {
            customers: scope.customers.to_vec(),
            sites,
            dates,
        })
    }
}
