//! Access: `auth`, `[[clients]]` and `[cors]`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use toml::Value;

use super::error::{Origin, Problem, Problems};
use super::key::{Key, keys};
use super::list_value;
use super::purpose::Purpose;
use super::reader::Reader;
use super::show::Shown;
use super::value::{self, A_RATE, Rate, Raw};
use super::{keys, show};
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag::Tag;
use crate::http::{Auth, Client, RateLimit};

keys! { CLIENT:
    NAME: String = "name", name, show::text;
    KEY_SHA256: Vec<[u8; 32]> = "key_sha256", |raw| hashes(raw, Ok), |hashes: &Vec<_>| show::texts(hashes.iter().map(hex::encode));
    CUSTOMER_IDS: BTreeSet<CustomerId> = "customer_ids", list_value::customer_ids, show::ids;
    SITE_IDS: BTreeSet<SiteId> = "site_ids", site_ids, show::ids;
    TAGS: BTreeSet<Tag> = "tags", tags, show::texts;
    RATE_LIMIT: RateLimit = "rate_limit", rate_limit, show_rate;
    ADMIN: bool = "admin" or "false", value::boolean, show::boolean;
}

/// SHA-256 of the empty string: a script's result for an unset variable.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Reads the allowed callers, and their entries as shown; a demo needs no keys by default.
pub(super) fn auth(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    customers: &[CustomerId],
) -> (Auth, Vec<Shown>) {
    let required = reader.right_or(&keys::AUTH, || match purpose {
        Purpose::Serve => keys::AUTH.default_value(),
        Purpose::Demo(_) => false,
    });
    let (clients, shown) = clients(reader, customers);
    if required == Some(false) {
        return (Auth::Disabled, Vec::new());
    }
    if required == Some(true) && !reader.is_set("clients") {
        // A missing list has no origin, and an unreadable file may contain it.
        reader.fault_in(
            "auth",
            Problem::new(
                "is \"required\", but there are no clients: add [[clients]] (`pitaya key` makes one), or set auth = \"disabled\"",
            ),
            Origin::Nowhere,
        );
    }
    (Auth::Required(clients), shown)
}

/// Names and keys in use, since no two clients may share them; collected from all clients, even those with other faults.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    /// The keys, each with the index of its client.
    keys: BTreeMap<[u8; 32], usize>,
}

fn clients(reader: &mut Reader<'_>, customers: &[CustomerId]) -> (Vec<Client>, Vec<Shown>) {
    let mut clients = Vec::new();
    let mut taken = Taken::default();
    let shown = reader.entries("clients", CLIENT, |index, entry| {
        clients.extend(client(entry, index, customers, &mut taken));
    });
    if shown.as_ref().is_some_and(Vec::is_empty) {
        reader.fault("clients", "is an empty list; leave it out, or add a client");
    }
    (clients, shown.unwrap_or_default())
}

fn client(
    entry: &mut Reader<'_>,
    index: usize,
    customers: &[CustomerId],
    taken: &mut Taken,
) -> Option<Client> {
    entry.require(&NAME, "is missing: a unique name, for logs and metrics");
    let name = entry.read_as(&NAME, |raw| {
        let name = name(raw)?;
        if taken.names.insert(name.clone()) {
            Ok(name)
        } else {
            Err(Problem::new(format!("{name:?} is the name of another client too")).into())
        }
    });
    entry.require(
        &KEY_SHA256,
        "is missing: the SHA-256 of the client's key as 64 hex digits, or a list of them; `pitaya key` makes one",
    );
    let key_sha256 = entry.read_as(&KEY_SHA256, |raw| {
        hashes(raw, |hash| match taken.keys.insert(hash, index) {
            None => Ok(hash),
            Some(owner) if owner == index => Err(Problem::new("lists a hash twice")),
            Some(owner) => Err(Problem::new(format!(
                "holds a key of clients[{owner}] too; give each its own"
            ))),
        })
    });
    let customer_ids = entry.read_as(&CUSTOMER_IDS, |raw| {
        list_value::ids(raw, |number| list_value::one_of(customers, number))
    });
    let site_ids = entry.optional(&SITE_IDS);
    let tags = entry.optional(&TAGS);
    let rate_limit = entry.optional(&RATE_LIMIT);
    let admin = entry.value(&ADMIN);
    Some(Client {
        name: name?,
        key_sha256: key_sha256?,
        customer_ids,
        site_ids,
        tags,
        rate_limit,
        admin,
    })
}

fn name(raw: Raw<'_>) -> Result<String, Problem> {
    client_name(raw.text()?).map(str::to_owned)
}

/// A client's name: 1 to 64 printable characters.
pub(super) fn client_name(text: &str) -> Result<&str, Problem> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > 64 || text.contains(char::is_control) {
        return Err(Problem::echo(
            text,
            "a name of 1 to 64 printable characters",
        ));
    }
    Ok(text)
}

/// Reads the hashes of a client's keys, and passes each to `check`.
///
/// The message never repeats the text: it may be a key instead of a hash.
fn hashes(
    raw: Raw<'_>,
    mut check: impl FnMut([u8; 32]) -> Result<[u8; 32], Problem>,
) -> Result<Vec<[u8; 32]>, Problems> {
    let hashes = list_value::every(raw, |item| {
        let text = item.text()?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| {
            Problem::new("is not a SHA-256 hash, 64 hex digits; it is the hash that belongs here, not the key")
        })?;
        if text.eq_ignore_ascii_case(SHA256_OF_NOTHING) {
            return Err(Problem::new("is the hash of an empty key"));
        }
        check(hash)
    })?;
    if hashes.is_empty() {
        return Err(Problem::new("is an empty list; a client needs a key").into());
    }
    Ok(hashes)
}

fn site_ids(raw: Raw<'_>) -> Result<BTreeSet<SiteId>, Problems> {
    list_value::ids(raw, |number| list_value::id(number, SiteId::new))
}

/// The tags of which a site must have one: at least one.
fn tags(raw: Raw<'_>) -> Result<BTreeSet<Tag>, Problems> {
    let tags = list_value::every(raw, value::tag)?;
    if tags.is_empty() {
        let problem = "is an empty list; name at least one tag, or leave the key out";
        return Err(Problem::new(problem).into());
    }
    Ok(tags.into_iter().collect())
}

fn show_rate(limit: &RateLimit) -> Value {
    show::rate(&Rate {
        times: limit.requests.get(),
        period: limit.period,
    })
}

fn rate_limit(raw: Raw<'_>) -> Result<RateLimit, Problem> {
    let Rate { times, period } = value::rate(raw)?;
    let requests = NonZeroU32::new(times);
    let requests = requests.ok_or_else(|| Problem::echo(raw.text().unwrap_or_default(), A_RATE))?;
    Ok(RateLimit { requests, period })
}
