//! Who may call: `auth`, `[[clients]]` and `[cors]`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::Purpose;
use super::error::{Origin, Problem, Problems};
use super::reader::Reader;
use super::value::{self, Raw};
use crate::domain::site::{CustomerId, SiteId};
use crate::http::{Auth, Client, RateLimit};

/// SHA-256 of nothing: what a script makes of an unset variable.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who may call; a demo is open unless it is said otherwise.
pub(super) fn auth(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    customers: &[CustomerId],
) -> Auth {
    let required = match purpose {
        Purpose::Serve => true,
        Purpose::Demo { .. } => false,
    };
    let required = reader.right_or("auth", required, |raw| match raw.text()? {
        "required" => Ok(true),
        "disabled" => Ok(false),
        text => Err(Problem::echo(text, "\"required\" or \"disabled\"")),
    });
    let clients = clients(reader, customers);
    if required == Some(false) {
        return Auth::Disabled;
    }
    if required == Some(true) && !reader.is_set("clients") {
        // Of what is not there, it can't be said where it was written; a file that can't be read may hold it.
        reader.fault_in(
            "auth",
            Problem::new(
                "is \"required\", but there are no clients: add [[clients]] (`pitaya key` makes one), or set auth = \"disabled\"",
            ),
            Origin::Nowhere,
        );
    }
    Auth::Required(clients)
}

/// What no two clients may share: noted of each client, whatever else is wrong with it.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    /// The keys, and which client holds each.
    keys: BTreeMap<[u8; 32], usize>,
}

fn clients(reader: &mut Reader<'_>, customers: &[CustomerId]) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut taken = Taken::default();
    let entries = reader.entries("clients", |index, entry| {
        clients.extend(client(entry, index, customers, &mut taken));
    });
    if entries == Some(0) {
        reader.fault("clients", "is an empty list; leave it out, or add a client");
    }
    clients
}

fn client(
    entry: &mut Reader<'_>,
    index: usize,
    customers: &[CustomerId],
    taken: &mut Taken,
) -> Option<Client> {
    let name = entry.required(
        "name",
        "is missing: a unique name, for logs and metrics",
        |raw| {
            let name = client_name(raw.text()?)?;
            if taken.names.insert(name.to_owned()) {
                Ok(name.to_owned())
            } else {
                let problem = format!("{name:?} is the name of another client too");
                Err(Problem::new(problem))
            }
        },
    );
    let key_sha256 = entry.required(
        "key_sha256",
        "is missing: the SHA-256 of the client's key as 64 hex digits, or a list of them; `pitaya key` makes one",
        |raw| key_hashes(raw, index, &mut taken.keys),
    );
    let customer_ids = entry.optional("customer_ids", |raw| {
        value::ids(raw, |number| {
            let id = value::id(number, CustomerId::new)?;
            // Where the customers themselves are wrong, that is said once.
            if customers.is_empty() || customers.contains(&id) {
                Ok(id)
            } else {
                Err(Problem::echo(id, "one of upstream.customer_ids"))
            }
        })
    });
    let site_ids = entry.optional("site_ids", |raw| {
        value::ids(raw, |number| value::id(number, SiteId::new))
    });
    let rate_limit = entry.optional("rate_limit", rate_limit);
    let admin = entry.or("admin", false, value::boolean);
    Some(Client {
        name: name?,
        key_sha256: key_sha256?,
        customer_ids,
        site_ids,
        rate_limit,
        admin,
    })
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

/// The keys of the client at `index`, none of which may be among the `taken`, to which they are added.
///
/// The text is never repeated in a message: it may be a key that was not hashed.
fn key_hashes(
    raw: Raw<'_>,
    index: usize,
    taken: &mut BTreeMap<[u8; 32], usize>,
) -> Result<Vec<[u8; 32]>, Problems> {
    let hashes = value::every(raw, |item| {
        let text = item.text()?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| {
            Problem::new("is not a SHA-256 hash, 64 hex digits; it is the hash that belongs here, not the key")
        })?;
        if text.eq_ignore_ascii_case(SHA256_OF_NOTHING) {
            return Err(Problem::new("is the hash of an empty key"));
        }
        match taken.entry(hash) {
            Entry::Vacant(free) => {
                free.insert(index);
                Ok(hash)
            }
            Entry::Occupied(owner) if *owner.get() == index => {
                Err(Problem::new("lists a hash twice"))
            }
            Entry::Occupied(owner) => Err(Problem::new(format!(
                "holds a key of clients[{}] too; give each its own",
                owner.get()
            ))),
        }
    })?;
    if hashes.is_empty() {
        return Err(Problem::new("is an empty list; a client needs a key").into());
    }
    Ok(hashes)
}

fn rate_limit(raw: Raw<'_>) -> Result<RateLimit, Problem> {
    let text = raw.text()?;
    let parse = || {
        let (requests, unit) = text.split_once('/')?;
        let requests: NonZeroU32 = requests.parse().ok()?;
        let period = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        Some(RateLimit { requests, period })
    };
    parse().ok_or_else(|| Problem::echo(text, "a rate, such as 50/s, 600/m or 1000/h"))
}

/// The origins that browsers may call from, exactly as they send them (RFC 6454, section 6.2).
pub(super) fn allowed_origins(reader: &mut Reader<'_>) -> Vec<HeaderValue> {
    reader.or("cors.allowed_origins", Vec::new(), |raw| {
        value::every(raw, origin)
    })
}

fn origin(raw: Raw<'_>) -> Result<HeaderValue, Problem> {
    const FORM: &str =
        "an exact origin, such as https://dashboard.example.com or http://localhost:3000";
    let text = raw.text()?;
    let canonical = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && !text.contains('*'))
        .map(|url| url.origin().ascii_serialization());
    match canonical {
        Some(canonical) if canonical == text => {
            HeaderValue::from_str(text).map_err(|_| Problem::echo(text, FORM))
        }
        // What was written is not repeated: it may hold a password.
        Some(canonical) => Err(Problem::new(format!(
            "must be {FORM}; a browser sends {canonical}, without path, password or default port"
        ))),
        None => Err(Problem::echo(text, FORM)),
    }
}
