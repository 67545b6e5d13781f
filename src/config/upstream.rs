//! The table `[upstream]`: where the vendor is, how it is paid, and how hard it may be asked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use url::Url;

use super::error::{Problem, Problems};
use super::reader::Reader;
use super::value::{self, Raw};
use super::{Purpose, secret};
use crate::domain::site::CustomerId;
use crate::upstream::{Settings, check_token_store};

const BASE_URL: &str = "https://api-external.dragonfruit.ai";
const TOKEN_URL: &str = "https://df-services.dragonfruit.ai/get_new_tokens";
const TOKEN_LIFETIME: Duration = Duration::from_mins(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ATTEMPTS: u32 = 3;
const MAX_CONCURRENCY: usize = 8;
const MAX_SITES_PER_REQUEST: usize = 50;
const MAX_DAYS_PER_REQUEST: usize = 31;
const MAX_RESPONSE_BYTES: ByteSize = ByteSize::mib(256);

/// The client's settings; `None` only where an error has been noted. `deadline` is the callers' own.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    deadline: Duration,
) -> Option<Settings> {
    let base_url = reader.optional("upstream.base_url", value::vendor_base_url);
    let token_url = reader.optional("upstream.token_url", value::vendor_url);
    let token_store = reader.optional("upstream.token_store", |raw| token_store(raw, purpose));
    let configured = Settings {
        base_url: base_url.or_else(|| Url::parse(BASE_URL).ok())?,
        token_url: token_url.or_else(|| Url::parse(TOKEN_URL).ok())?,
        refresh_token: None,
        id_token: None,
        token_store,
        send_token_on_refresh: reader.or("upstream.send_token_on_refresh", false, value::boolean),
        token_lifetime: reader.or("upstream.token_lifetime", TOKEN_LIFETIME, value::timeout),
        timeout: reader.or("upstream.timeout", TIMEOUT, value::timeout),
        connect_timeout: reader.or("upstream.connect_timeout", CONNECT_TIMEOUT, value::timeout),
        max_attempts: reader.or("upstream.max_attempts", MAX_ATTEMPTS, value::count(100)),
        max_concurrency: reader.or(
            "upstream.max_concurrency",
            MAX_CONCURRENCY,
            value::count(10_000),
        ),
        max_sites_per_request: reader.or(
            "upstream.max_sites_per_request",
            MAX_SITES_PER_REQUEST,
            value::count(100_000),
        ),
        max_days_per_request: reader.or(
            "upstream.max_days_per_request",
            MAX_DAYS_PER_REQUEST,
            value::count(36_600),
        ),
        max_response_bytes: reader.or(
            "upstream.max_response_bytes",
            MAX_RESPONSE_BYTES.as_u64(),
            value::size,
        ),
        deadline,
    };
    match purpose {
        Purpose::Serve => Some(with_credentials(reader, configured)),
        Purpose::Demo { .. } => {
            for key in ["refresh_token", "id_token"] {
                reader.ignore(&format!("upstream.{key}"));
                reader.ignore(&format!("upstream.{key}_file"));
            }
            // The simulator's tokens must not overwrite the real ones.
            Some(Settings {
                token_store: None,
                ..configured
            })
        }
    }
}

/// A file that tokens can be kept in, which is found by trying: it must not be found once the vendor has rotated a token. A demo, which
/// keeps none, leaves the file alone.
fn token_store(raw: Raw<'_>, purpose: Purpose<'_>) -> Result<PathBuf, Problem> {
    let path = value::path(raw)?;
    match purpose {
        Purpose::Serve => check_token_store(&path)
            .map_err(|error| Problem::new(error.to_string()))
            .map(|()| path),
        Purpose::Demo { .. } => Ok(path),
    }
}

fn with_credentials(reader: &mut Reader<'_>, configured: Settings) -> Settings {
    let refresh_token = secret::read(reader, "upstream.refresh_token");
    let id_token = secret::read(reader, "upstream.id_token");
    let any = ["upstream.refresh_token", "upstream.id_token"]
        .iter()
        .any(|key| secret::is_set(reader, key));
    if !any {
        reader.fault(
            "upstream.refresh_token",
            "is missing: set it, or refresh_token_file (PITAYA_UPSTREAM__REFRESH_TOKEN_FILE), or at least upstream.id_token (PITAYA_UPSTREAM__ID_TOKEN)",
        );
    }
    Settings {
        refresh_token,
        id_token,
        ..configured
    }
}

/// The configured customers, ascending; in a demo, the simulator's.
pub(super) fn customers(reader: &mut Reader<'_>, purpose: Purpose<'_>) -> Vec<CustomerId> {
    const KEY: &str = "upstream.customer_ids";
    const MISSING: &str = "is missing: the vendor's customer ids, such as [123] in the file or 123,456 in the variable";
    match purpose {
        Purpose::Serve => reader
            .required(KEY, MISSING, customer_ids)
            .map(|customers| customers.into_iter().collect())
            .unwrap_or_default(),
        Purpose::Demo { customers } => {
            reader.optional(KEY, customer_ids);
            let customers: BTreeSet<_> = customers.iter().copied().collect();
            customers.into_iter().collect()
        }
    }
}

/// A list of customer ids, each once, at least one.
fn customer_ids(raw: Raw<'_>) -> Result<BTreeSet<CustomerId>, Problems> {
    value::ids(raw, |number| value::id(number, CustomerId::new))
}
