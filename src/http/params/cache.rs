//! The parameters of a purge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decode::Reader;
use super::faults::{Faults, ParameterFault};
use super::resolve::{Rejection, resolve_dates};
use super::site_words::{SiteWords, visible_entries};
use super::terms::Terms;
use super::values::{DATES, SITES, parse_dates};
use crate::domain::calendar::Calendar;
use crate::domain::date_expression::DateExpression;
use crate::domain::dates::DateRange;
use crate::domain::site::{CustomerId, SiteId};

/// Parameters of a purge, each well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheParams {
    /// Words for the sites; `None`: all.
    pub sites: Option<SiteWords>,
    /// Dates; `None`: all.
    pub dates: Option<DateExpression>,
}

/// Cells to purge, always within the caller's scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeTarget {
    /// Sites, each with the customers to whose sites they belong; `None`: all.
    pub sites: BTreeMap<Option<BTreeSet<SiteId>>, Vec<CustomerId>>,
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
        let mut read = Reader::new(query, &[SITES, DATES]);
        let sites = SiteWords::parse(&mut read);
        let dates = parse_dates(&mut read, Some(&Calendar::GREGORIAN));
        read.faults.or_ok(Self { sites, dates })
    }

    /// Cells to purge by these `terms` at `now`.
    ///
    /// # Errors
    ///
    /// `Forbidden` for the id of a site that no customer in the caller's scope allows, and faults for words that no visible site answers to.
    pub fn resolve(self, terms: &Terms<'_>, now: Timestamp) -> Result<PurgeTarget, Rejection> {
        let Terms {
            scope, directory, ..
        } = *terms;
        let sites = match self.sites {
            Some(words) => {
                let mut faults = Faults::default();
                let found = words.find(terms, scope.customers, &mut faults);
                if found.hidden {
                    return Err(Rejection::Forbidden);
                }
                let found = faults.or_ok(found).map_err(Rejection::Faults)?;
                let of_each = found.sites.into_iter();
                by_sites(of_each.map(|(customer, sites)| (customer, Some(sites))))
            }
            None => by_sites(scope.customers.iter().map(|customer| {
                let tagged = scope.tags.map(|_| {
                    let entries = visible_entries(terms, *customer);
                    entries.map(|(site, _)| site).collect()
                });
                (*customer, tagged.or_else(|| scope.sites.cloned()))
            })),
        };
        let places = sites.iter().flat_map(|(sites, customers)| {
            let sites = sites.iter().flatten();
            sites.flat_map(|site| customers.iter().map(|customer| (*customer, *site)))
        });
        let dates = self
            .dates
            .map(|dates| {
                let calendar = terms.default_calendar();
                resolve_dates(dates, &calendar, places, directory, now)
            })
            .transpose()?;
        Ok(PurgeTarget { sites, dates })
    }
}

/// The sites by customers, with the customers that have the same sites together.
fn by_sites(
    of_each: impl Iterator<Item = (CustomerId, Option<BTreeSet<SiteId>>)>,
) -> BTreeMap<Option<BTreeSet<SiteId>>, Vec<CustomerId>> {
    let mut customers = BTreeMap::new();
    for (customer, sites) in of_each {
        let known: &mut Vec<_> = customers.entry(sites).or_default();
        known.push(customer);
    }
    customers
}

#[cfg(test)]
mod tests {
    use super::super::scope::Scope;
    use super::*;
    use crate::domain::directory::SiteDirectory;
    use crate::http::testing;

    fn sites(ids: &[u64]) -> BTreeSet<SiteId> {
        ids.iter().map(|id| SiteId::new(*id).unwrap()).collect()
    }

    fn target(query: Option<&str>, own: Option<&[u64]>) -> Result<PurgeTarget, Rejection> {
        let own = own.map(sites);
        let customers = [1, 2].map(|id| CustomerId::new(id).unwrap());
        let terms = Terms {
            scope: Scope {
                customers: &customers,
                sites: own.as_ref(),
                tags: None,
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

        assert_eq!(all.sites[&None].len(), 2);
        assert_eq!((all.sites.len(), all.dates), (1, None));
        assert_eq!(own.sites[&Some(sites(&[7]))].len(), 2);
        assert_eq!(own.sites.len(), 1);
    }

    #[test]
    fn sites_and_dates_narrow_it_down() {
        let target = target(Some("sites=7,8,7&dates=yesterday"), None).unwrap();

        assert_eq!(target.sites[&Some(sites(&[7, 8]))].len(), 2);
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
