//! The site directory: `timezone` and `[[sites]]`.

use super::error::Problem;
use super::reader::Reader;
use super::value;
use crate::domain::directory::{SiteDirectory, SiteEntry};
use crate::domain::site::{CustomerId, SiteId};

/// What the configuration says of sites.
pub(super) fn directory(reader: &mut Reader<'_>, customers: &[CustomerId]) -> SiteDirectory {
    let mut directory = SiteDirectory::new(reader.optional("timezone", value::zone));
    reader.entries("sites", |_, entry| {
        if let Some((customer, id, site)) = site(entry, customers)
            && directory.insert(customer, id, site).is_err()
        {
            entry.fault(
                "id",
                format!("site {id} of customer {customer} is listed twice"),
            );
        }
    });
    directory
}

fn site(
    entry: &mut Reader<'_>,
    customers: &[CustomerId],
) -> Option<(CustomerId, SiteId, SiteEntry)> {
    let id = entry.required(
        "id",
        "is missing: the vendor's site id, such as 750",
        |raw| {
            let number = raw.number()?;
            SiteId::new(number).ok_or_else(|| {
                Problem::echo(number, "a site id, a whole number from 1 to 2^53 - 1")
            })
        },
    );
    let name = entry.optional("name", |raw| match raw.text()? {
        text if text.trim().is_empty() => Err(Problem::new("is empty; leave it out")),
        text => Ok(text.to_owned()),
    });
    let timezone = entry.optional("timezone", value::zone);
    let own = |raw: value::Raw<'_>| {
        let number = raw.number()?;
        CustomerId::new(number)
            // Where the customers themselves are wrong, that is said once.
            .filter(|customer| customers.is_empty() || customers.contains(customer))
            .ok_or_else(|| Problem::echo(number, "one of upstream.customer_ids"))
    };
    let customer = match customers {
        [] => entry.optional("customer_id", own),
        [only] => entry.right_or("customer_id", *only, own),
        _ => entry.required(
            "customer_id",
            "is missing: with several customers, each site must say whose it is",
            own,
        ),
    };
    Some((customer?, id?, SiteEntry { name, timezone }))
}
