//! `GET /v1/sites`: the sites in the caller's scope.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{Scope, SiteListParams};
use super::present::{Format, accepted, csv_table};
use super::problem::{ApiError, Refused};
use super::routes;
use crate::domain::directory::{SiteDirectory, SiteEntry};
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
    /// The store number that people use, if known: `code:T-0412` in a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    /// Its tags, if it has any: `tag:region=North` or `tag:outlet` in a query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    tags: Vec<String>,
    /// Its opening hours, if known, in the grammar of OpenStreetMap's `opening_hours`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hours: Option<String>,
    /// The first day on which it is open, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date)]
    opened: Option<String>,
    /// The first day on which it is closed for good, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date)]
    closed: Option<String>,
}

/// Lists the sites by customer, then id.
#[utoipa::path(
    get,
    path = routes::SITES.path,
    operation_id = "getSites",
    tag = "Traffic",
    summary = "List sites",
    description = "The sites that the caller may see: those of the configured directory, and those learned from the vendor. \
                   In CSV, semicolons separate the tags of a site.",
    params(SiteListParams),
    responses((status = 200, description = "The sites.", content((Sites = "application/json"), (String = "text/csv"))), Refused<406>),
)]
pub(super) async fn list(
    State(service): State<Arc<TrafficService>>,
    Extension(context): Extension<HandlerContext>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let params = SiteListParams::parse(query.as_deref())?;
    let directory = &context.snapshot.directory;
    let scope = context.caller.scope();
    let customers = scope.customers.iter();
    let data = customers.flat_map(|customer| {
        let sites = service.sites(*customer, directory);
        visible(sites, &scope, directory, *customer, &params)
    });
    let data: Vec<_> = data.collect();
    let types = SiteListParams::FORMATS.map(Format::media_type);
    let wanted = || accepted(&headers, &types).map(|index| SiteListParams::FORMATS[index]);
    let format = params.format.or_else(wanted);
    let format = format.ok_or(ApiError::NotAcceptable)?;
    // The list grows as Pitaya learns sites from the vendor, and each caller has its own.
    let fields = [
        (CACHE_CONTROL, "private, no-cache"),
        (VARY, "Accept, Authorization, X-API-Key"),
    ];
    if format == Format::Csv {
        let content_type = [(CONTENT_TYPE, Format::Csv.content_type())];
        return Ok((fields, content_type, csv(&data)).into_response());
    }
    Ok((fields, Json(Sites { data })).into_response())
}

fn visible(
    sites: Vec<SiteInfo>,
    scope: &Scope<'_>,
    directory: &SiteDirectory,
    customer: CustomerId,
    params: &SiteListParams,
) -> Vec<ListedSite> {
    let seen = sites
        .into_iter()
        .filter(|info| scope.allows(directory, customer, info.site));
    let unlisted = SiteEntry::default();
    seen.filter_map(|info| {
        let entry = directory.entry(customer, info.site).unwrap_or(&unlisted);
        is_meant(&info, entry, params).then(|| ListedSite {
            site_id: info.site.get(),
            name: info.name,
            timezone: info.timezone,
            customer_id: customer.get(),
            code: entry.code.as_deref().map(str::to_owned),
            tags: entry.tags.iter().map(ToString::to_string).collect(),
            opened: entry.opened.map(|date| date.to_string()),
            closed: entry.closed.map(|date| date.to_string()),
            hours: directory
                .hours(customer, info.site)
                .map(|hours| hours.text().to_owned()),
        })
    })
    .collect()
}

/// Whether a site has the tag and the text that the caller looks for.
fn is_meant(info: &SiteInfo, entry: &SiteEntry, params: &SiteListParams) -> bool {
    let tag = params.tag.as_ref();
    let search = params.search.as_deref();
    tag.is_none_or(|tag| entry.tags.contains(tag))
        && search.is_none_or(|search| {
            let holds = |text: &str| text.to_lowercase().contains(search);
            info.name.as_deref().is_some_and(holds)
                || entry.code.as_deref().is_some_and(holds)
                || holds(&info.site.to_string())
        })
}

fn csv(sites: &[ListedSite]) -> Vec<u8> {
    let header = [
        "site_id",
        "name",
        "timezone",
        "customer_id",
        "code",
        "tags",
        "hours",
        "opened",
        "closed",
    ];
    let rows = sites.iter().map(|site| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            site.site_id.to_string(),
            text(&site.name),
            text(&site.timezone),
            site.customer_id.to_string(),
            text(&site.code),
            site.tags.join(";"),
            text(&site.hours),
            text(&site.opened),
            text(&site.closed),
        ]
    });
    csv_table(header, rows)
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
            tags: None,
        };

        let every = SiteListParams::parse(None).unwrap();
        let directory = SiteDirectory::default();
        let seen = visible(learned.into(), &scope, &directory, customer, &every);

        assert_eq!(seen.len(), 1);
        assert_eq!(
            serde_json::to_string(&seen[0]).unwrap(),
            r#"{"site_id":751,"name":null,"timezone":null,"customer_id":1}"#
        );
    }
}
