//! The table `[upstream]`: the vendor's address, our credentials, and the limits on calls.

use std::collections::BTreeSet;
use std::time::Duration;

use super::purpose::Purpose;
use super::reader::Reader;
use super::value;
use super::{keys, secret, warm};
use crate::domain::site::CustomerId;
use crate::upstream::{Settings, check_token_store};

/// Reads the client's settings. `deadline` is the deadline of our callers.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    deadline: Duration,
) -> Settings {
    let max_concurrency = reader.value(&keys::MAX_CONCURRENCY);
    let configured = Settings {
        base_url: reader.value(&keys::BASE_URL),
        token_url: reader.value(&keys::TOKEN_URL),
        refresh_token: None,
        id_token: None,
        // A store that cannot hold tokens must not be found only after the vendor has rotated one.
        token_store: reader.read_as(&keys::TOKEN_STORE, |raw| {
            value::tried_path(raw, purpose, check_token_store)
        }),
        token_sharing: None,
        send_token_on_refresh: reader.value(&keys::SEND_TOKEN_ON_REFRESH),
        token_lifetime: reader.value(&keys::TOKEN_LIFETIME),
        timeout: reader.value(&keys::TIMEOUT),
        connect_timeout: reader.value(&keys::CONNECT_TIMEOUT),
        max_attempts: reader.value(&keys::MAX_ATTEMPTS),
        max_concurrency,
        max_warming: warm::places(reader.value(&keys::WARM_SHARE), max_concurrency),
        max_sites_per_request: reader.value(&keys::MAX_SITES_PER_REQUEST),
        max_days_per_request: reader.value(&keys::MAX_DAYS_PER_REQUEST),
        max_response_bytes: reader.value(&keys::MAX_RESPONSE_BYTES),
        deadline,
    };
    match purpose {
        Purpose::Serve => with_credentials(reader, configured),
        // The simulator's tokens must not overwrite the real ones.
        Purpose::Demo(_) => Settings {
            token_store: None,
            ..configured
        },
    }
}

fn with_credentials(reader: &mut Reader<'_>, configured: Settings) -> Settings {
    let refresh_token = secret::read(reader, &keys::REFRESH_TOKEN, &keys::REFRESH_TOKEN_FILE);
    let id_token = secret::read(reader, &keys::ID_TOKEN, &keys::ID_TOKEN_FILE);
    let any = [
        keys::REFRESH_TOKEN,
        keys::REFRESH_TOKEN_FILE,
        keys::ID_TOKEN,
        keys::ID_TOKEN_FILE,
    ]
    .iter()
    .any(|key| reader.is_set(key.name));
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
    const MISSING: &str = "is missing: the vendor's customer ids, such as [123] in the file or 123,456 in the variable";
    let configured = reader.optional(&keys::CUSTOMER_IDS);
    let customers = match purpose {
        Purpose::Serve => {
            reader.require(&keys::CUSTOMER_IDS, MISSING);
            configured.unwrap_or_default()
        }
        Purpose::Demo(demo) => BTreeSet::from([demo.customer]),
    };
    customers.into_iter().collect()
}
