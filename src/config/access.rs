//! Who may call: `auth`, `[[clients]]` and `[cors]`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::error::Problem;
use super::reader::Reader;
use super::value::{self, Raw};
use super::{Purpose, upstream};
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
    let required = reader.or("auth", required, |raw| match raw.text()? {
        "required" => Ok(true),
        "disabled" => Ok(false),
        text => Err(Problem::echo(text, "\"required\" or \"disabled\"")),
    });
    let clients = clients(reader, customers);
    if !required {
        return Auth::Disabled;
    }
    if !reader.is_set("clients") {
        reader.fault(
            "auth",
            "is \"required\", but there are no clients: add [[clients]] (`pitaya key` makes one), or set auth = \"disabled\"",
        );
    }
    Auth::Required(clients)
}

fn clients(reader: &mut Reader<'_>, customers: &[CustomerId]) -> Vec<Client> {
    let Some((tables, origin)) = reader.tables("clients") else {
        return Vec::new();
    };
    if tables.is_empty() {
        reader.fault("clients", "is an empty list; leave it out, or add a client");
    }
    let mut clients: Vec<Client> = Vec::new();
    let mut owners: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for (index, table) in tables.iter().enumerate() {
        let client = reader.entry(("clients", index), (table, &origin), |entry| {
            let client = client(entry, customers)?;
            if clients.iter().any(|other| other.name == client.name) {
                let problem = format!("{:?} is the name of another client too", client.name);
                entry.fault("name", problem);
            }
            for key in &client.key_sha256 {
                if let Some(owner) = owners.insert(*key, index) {
                    let problem = format!("holds a key of clients[{owner}] too; give each its own");
                    entry.fault("key_sha256", problem);
                }
            }
            Some(client)
        });
        clients.extend(client);
    }
    clients
}

fn client(entry: &mut Reader<'_>, customers: &[CustomerId]) -> Option<Client> {
    let name = entry.required(
        "name",
        "is missing: a unique name, for logs and metrics",
        |raw| client_name(raw.text()?).map(str::to_owned),
    );
    let key_sha256 = entry.required(
        "key_sha256",
        "is missing: the SHA-256 of the client's key as 64 hex digits, or a list of them; `pitaya key` makes one",
        key_hashes,
    );
    let customer_ids = entry.optional("customer_ids", |raw| {
        let ids = upstream::customer_ids(raw)?;
        // Where the customers themselves are wrong, that is said once.
        let foreign = |id: &&CustomerId| !customers.is_empty() && !customers.contains(id);
        match ids.iter().find(foreign) {
            Some(id) => Err(Problem::echo(id, "one of upstream.customer_ids")),
            None => Ok(ids),
        }
    });
    let site_ids: Option<BTreeSet<SiteId>> =
        entry.optional("site_ids", |raw| value::ids(raw, SiteId::new));
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

/// The text is never repeated in a message: it may be a key that was not hashed.
fn key_hashes(raw: Raw<'_>) -> Result<Vec<[u8; 32]>, Problem> {
    let mut hashes = Vec::new();
    for item in raw.items() {
        let text = item.text()?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| {
            Problem::new("is not a SHA-256 hash, 64 hex digits; it is the hash that belongs here, not the key")
        })?;
        if text.eq_ignore_ascii_case(SHA256_OF_NOTHING) {
            return Err(Problem::new("is the hash of an empty key"));
        }
        if hashes.contains(&hash) {
            return Err(Problem::new("lists a hash twice"));
        }
        hashes.push(hash);
    }
    if hashes.is_empty() {
        return Err(Problem::new("is an empty list; a client needs a key"));
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
        raw.items().into_iter().map(origin).collect()
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
