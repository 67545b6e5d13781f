//! The site directory: `timezone` and `[[sites]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::error::{Problem, Problems};
use super::key::{Key, keys};
use super::opening::{Shared, Written};
use super::purpose::Purpose;
use super::reader::Reader;
use super::show::Shown;
use super::{keys, list_value, opening, show, value};
use crate::domain::directory::{SiteDirectory, SiteEntry};
use crate::domain::opening::{Exceptions, Expression, Holidays};
use crate::domain::query::GroupBy;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag::Tag;

keys! { SITE:
    ID: SiteId = "id", id, show::id;
    NAME: String = "name", name, show::text;
    ZONE: TimeZone = "timezone", value::zone, show::zone;
    CUSTOMER: CustomerId = "customer_id", customer, show::id;
    CODE: Arc<str> = "code", code, show::text;
    TAGS: Vec<Tag> = "tags", tags, show::texts;
    OPENED: Date = "opened", value::date, show::text;
    CLOSED: Date = "closed", value::date, show::text;
    HOURS: Expression = "hours", opening::hours, opening::show_hours;
    HOLIDAYS: Holidays = "holidays", opening::holidays, show::text;
    EXCEPTIONS: Exceptions = "exceptions", opening::exceptions, opening::show_exceptions;
}

const OPENING: opening::Keys = opening::Keys {
    hours: HOURS,
    holidays: HOLIDAYS,
    exceptions: EXCEPTIONS,
};

/// The configured site directory, and its entries as shown. A demo has its own unless one is configured.
pub(super) fn directory(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    customers: &[CustomerId],
) -> (SiteDirectory, Vec<Shown>) {
    const DEFAULTS: opening::Keys = opening::Keys {
        hours: keys::DEFAULT_HOURS,
        holidays: keys::DEFAULT_HOLIDAYS,
        exceptions: keys::DEFAULT_EXCEPTIONS,
    };
    let mut shared = Shared::default();
    let defaults = Written::read(reader, &DEFAULTS);
    let default_hours = defaults.default_hours(reader, &DEFAULTS);
    let mut directory = SiteDirectory::new(reader.optional(&keys::TIMEZONE))
        .with_default_hours(default_hours.map(|hours| shared.of(hours)));
    let mut codes = BTreeMap::new();
    let shown = reader.entries("sites", SITE, |_, entry| {
        let Some((customer, id, site)) = site(entry, customers, &defaults, &mut shared) else {
            return;
        };
        if let Some(code) = &site.code
            && let Some(other) = codes.insert((customer, Arc::clone(code)), id)
            && other != id
        {
            entry.fault(
                CODE.name,
                format!("{code:?} is the code of site {other} of customer {customer} too"),
            );
        }
        if directory.insert(customer, id, site).is_err() {
            entry.fault(
                "id",
                format!("site {id} of customer {customer} is listed twice"),
            );
        }
    });
    if let Purpose::Demo(demo) = purpose
        && !reader.is_set("sites")
    {
        for (site, entry) in &demo.sites {
            let inserted = directory.insert(demo.customer, *site, entry.clone());
            inserted.expect("the directory is empty");
        }
    }
    (directory, shown.unwrap_or_default())
}

fn site(
    entry: &mut Reader<'_>,
    customers: &[CustomerId],
    defaults: &Written,
    shared: &mut Shared,
) -> Option<(CustomerId, SiteId, SiteEntry)> {
    entry.require(&ID, "is missing: the vendor's site id, such as 750");
    let id = entry.optional(&ID);
    let name = entry.optional(&NAME);
    let timezone = entry.optional(&ZONE);
    let code = entry.optional(&CODE);
    let tags = entry.optional(&TAGS).unwrap_or_default();
    let (opened, closed) = (entry.optional(&OPENED), entry.optional(&CLOSED));
    if let (Some(opened), Some(closed)) = (opened, closed)
        && closed <= opened
    {
        entry.fault(
            CLOSED.name,
            format!("{closed} is not after opened = {opened}; it is the first day on which the site is closed"),
        );
    }
    let hours = Written::read(entry, &OPENING).resolved(defaults, entry, &OPENING);
    let hours = hours.map(|hours| shared.of(hours));
    if customers.len() > 1 {
        entry.require(
            &CUSTOMER,
            "is missing: with several customers, each site must say whose it is",
        );
    }
    let own = entry.read_as(&CUSTOMER, |raw| {
        Ok(list_value::one_of(customers, raw.number()?)?)
    });
    let customer = match customers {
        [only] if !entry.is_set(CUSTOMER.name) => {
            entry.show(&CUSTOMER, only);
            Some(*only)
        }
        _ => own,
    };
    let entry = SiteEntry {
        name,
        timezone,
        hours,
        opened,
        closed,
        code,
        tags,
    };
    Some((customer?, id?, entry))
}

fn id(raw: value::Raw<'_>) -> Result<SiteId, Problem> {
    let number = raw.number()?;
    SiteId::new(number)
        .ok_or_else(|| Problem::echo(number, "a site id, a whole number from 1 to 2^53 - 1"))
}

fn customer(raw: value::Raw<'_>) -> Result<CustomerId, Problem> {
    list_value::id(raw.number()?, CustomerId::new)
}

/// The store number that people use. Commas separate sites in a query.
fn code(raw: value::Raw<'_>) -> Result<Arc<str>, Problem> {
    let text = raw.text()?;
    let is_whole = !text.is_empty() && text.trim() == text && text.chars().count() <= 64;
    if !is_whole || text.contains(|c: char| c == ',' || c.is_control()) {
        let form = "a code of 1 to 64 printable characters without commas, such as T-0412";
        return Err(Problem::echo(text, form));
    }
    Ok(text.into())
}

/// The tags of a site: one value of each key.
fn tags(raw: value::Raw<'_>) -> Result<Vec<Tag>, Problems> {
    let (mut keys, mut words) = (BTreeSet::new(), BTreeSet::new());
    list_value::every(raw, |item| {
        let tag = value::tag(item)?;
        let is_new = match tag.key() {
            Some(key) if GroupBy::WORDS.iter().any(|(word, _)| *word == key) => {
                return Err(Problem::new(format!(
                    "has the key {key}, which is a word of group_by; choose another key"
                )));
            }
            Some(key) => keys.insert(key.to_owned()),
            None => words.insert(tag.clone()),
        };
        if is_new {
            return Ok(tag);
        }
        Err(Problem::new(match tag.key() {
            Some(key) => format!("has two values of the key {key}; a site has one"),
            None => format!("lists {tag} twice"),
        }))
    })
}

fn name(raw: value::Raw<'_>) -> Result<String, Problem> {
    match raw.text()? {
        text if text.trim().is_empty() => Err(Problem::new("is empty; leave it out")),
        text => Ok(text.to_owned()),
    }
}
