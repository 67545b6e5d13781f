//! `GET /v1/sites`: the sites in the caller's scope.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{self, Scope};
use super::problem::ApiError;
use super::routes;
use crate::domain::directory::SiteDirectory;
use crate::domain::site::{CustomerId, SiteId};
use crate::http::edge::handler_context::HandlerContext;
use crate::service::{SiteInfo, TrafficService};

/// Sites.
#[derive(Serialize, ToSchema)]
pub(super) struct Sites {
    /// By customer, then id.
    data: Vec<ListedSite>,
}

/// A site that the caller may see.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Site)]
struct ListedSite {
    #[schema(value_type = SiteId)]
    site_id: u64,
    /// Its name, if known.
    #[schema(required)]
    name: Option<String>,
    /// The IANA name of its time zone, if known.
    #[schema(required)]
    timezone: Option<String>,
    #[schema(value_type = CustomerId)]
    customer_id: u64,
}

/// Lists the sites by customer, then id.
#[utoipa::path(
    get,
    path = routes::SITES.path,
    operation_id = "getSites",
    tag = "Traffic",
    summary = "List sites",
    description = "The sites that the caller may see: those of the configured directory, and those learned from the vendor.",
    responses((status = 200, description = "The sites.", body = Sites)),
)]
pub(super) async fn list(
    State(service): State<Arc<TrafficService>>,
    Extension(context): Extension<HandlerContext>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    params::parse_none(query.as_deref())?;
    let directory = &context.snapshot.directory;
    let scope = context.caller.scope();
    let customers = scope.customers.iter();
    let data = customers.flat_map(|customer| {
        let sites = service.sites(*customer, directory);
        visible(sites, &scope, directory, *customer)
    });
    let sites = Json(Sites {
        data: data.collect(),
    });
    // The list grows as Pitaya learns sites from the vendor, and each caller has its own.
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (VARY, HeaderValue::from_static("Authorization, X-API-Key")),
    ];
    Ok((headers, sites).into_response())
}

fn visible(
    sites: Vec<SiteInfo>,
    scope: &Scope<'_>,
    directory: &SiteDirectory,
    customer: CustomerId,
) -> Vec<ListedSite> {
    let seen = sites
        .into_iter()
        .filter(|info| scope.allows(directory, customer, info.site));
    seen.map(|info| ListedSite {
        site_id: info.site.get(),
        name: info.name,
        timezone: info.timezone,
        customer_id: customer.get(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_caller_sees_only_its_own_sites() {
        let customer = CustomerId::new(1).unwrap();
        let site = |id| SiteId::new(id).unwrap();
        let learned = [750, 751].map(|id| SiteInfo {
            site: site(id),
            name: None,
            timezone: None,
        });
        let own = BTreeSet::from([site(751)]);
        let scope = Scope {
            customers: &[customer],
            sites: Some(&own),
        };

        let seen = visible(learned.into(), &scope, &SiteDirectory::default(), customer);

        assert_eq!(seen.len(), 1);
        assert_eq!(
            serde_json::to_string(&seen[0]).unwrap(),
            r#"{"site_id":751,"name":null,"timezone":null,"customer_id":1}"#
        );
    }
}
