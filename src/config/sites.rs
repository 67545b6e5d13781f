//! The site directory: `timezone` and `[[sites]]`.

use jiff::tz::TimeZone;

use super::error::Problem;
use super::key::{Key, keys};
use super::reader::Reader;
use super::show::Shown;
use super::{keys, show, value};
use crate::domain::directory::{SiteDirectory, SiteEntry};
use crate::domain::site::{CustomerId, SiteId};

keys! { SITE:
    ID: SiteId = "id", id, show::id;
    NAME: String = "name", name, show::text;
    ZONE: TimeZone = "timezone", value::zone, show::zone;
    CUSTOMER: CustomerId = "customer_id", customer, show::id;
}

/// The configured site directory, and its entries as shown.
pub(super) fn directory(
    reader: &mut Reader<'_>,
    customers: &[CustomerId],
) -> (SiteDirectory, Vec<Shown>) {
    let mut directory = SiteDirectory::new(reader.optional(&keys::TIMEZONE));
    let shown = reader.entries("sites", SITE, |_, entry| {
        if let Some((customer, id, site)) = site(entry, customers)
            && directory.insert(customer, id, site).is_err()
        {
            entry.fault(
                "id",
                format!("site {id} of customer {customer} is listed twice"),
            );
        }
    });
    (directory, shown.unwrap_or_default())
}

fn site(
    entry: &mut Reader<'_>,
    customers: &[CustomerId],
) -> Option<(CustomerId, SiteId, SiteEntry)> {
    entry.require(&ID, "is missing: the vendor's site id, such as 750");
    let id = entry.optional(&ID);
    let name = entry.optional(&NAME);
    let timezone = entry.optional(&ZONE);
    if customers.len() > 1 {
        entry.require(
            &CUSTOMER,
            "is missing: with several customers, each site must say whose it is",
        );
    }
    let own = entry.read_as(&CUSTOMER, |raw| {
        let customer = customer(raw)?;
        // A fault in the customers themselves is reported only once.
        if customers.is_empty() || customers.contains(&customer) {
            Ok(customer)
        } else {
            Err(Problem::echo(customer, "one of upstream.customer_ids").into())
        }
    });
    let customer = match customers {
        [only] if !entry.is_set(CUSTOMER.name) => {
            entry.show(&CUSTOMER, only);
            Some(*only)
        }
        _ => own,
    };
    Some((customer?, id?, SiteEntry { name, timezone }))
}

fn id(raw: value::Raw<'_>) -> Result<SiteId, Problem> {
    let number = raw.number()?;
    SiteId::new(number)
        .ok_or_else(|| Problem::echo(number, "a site id, a whole number from 1 to 2^53 - 1"))
}

fn customer(raw: value::Raw<'_>) -> Result<CustomerId, Problem> {
    value::id(raw.number()?, CustomerId::new)
}

fn name(raw: value::Raw<'_>) -> Result<String, Problem> {
    match raw.text()? {
        text if text.trim().is_empty() => Err(Problem::new("is empty; leave it out")),
        text => Ok(text.to_owned()),
    }
}
