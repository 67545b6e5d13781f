//! The table `[cache.shared]`: the store that all replicas share.

use secrecy::SecretString;
use url::Url;

use super::error::Problem;
use super::purpose::Purpose;
use super::reader::Reader;
use super::value;
use super::{keys, secret};
use crate::domain::freshness::Policy;
use crate::store::{self, Mode};
use crate::tier;

/// The link to the store, and the settings by which figures are kept.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The link.
    pub store: store::Settings,
    /// The figures.
    pub tier: tier::shared::Settings,
    /// Replicas accept only figures made with this secret.
    pub secret: SecretString,
    /// Whether this replica renews the vendor's tokens even without the store.
    pub renew_alone: bool,
}

/// The shared store, if one is configured. A demo has none, because each demo has another vendor.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    purpose: Purpose<'_>,
    policy: &Policy,
    refresh_token: Option<&SecretString>,
) -> Option<Shared> {
    let urls = reader.optional(&keys::SHARED_URLS);
    let mode = reader.value(&keys::SHARED_MODE);
    let master = reader.optional(&keys::SENTINEL_MASTER);
    let username = reader.optional(&keys::SHARED_USERNAME);
    let password = secret::read(reader, &keys::SHARED_PASSWORD, &keys::SHARED_PASSWORD_FILE);
    let ca = certificates(reader);
    let prefix = reader.value(&keys::SHARED_PREFIX);
    let secret = secret::read(reader, &keys::SHARED_SECRET, &keys::SHARED_SECRET_FILE);
    let timeout = reader.value(&keys::SHARED_TIMEOUT);
    let lease = reader.value(&keys::SHARED_LEASE);
    let renew_alone = reader.value(&keys::RENEW_ALONE);
    if let Purpose::Demo(_) = purpose {
        return None;
    }
    let Some(urls) = urls else {
        if renew_alone {
            let problem =
                "has no meaning without cache.shared.urls: one instance always renews alone";
            reader.fault(keys::RENEW_ALONE.name, problem);
        }
        // Without this error, a fleet with a forgotten store would get all its tokens revoked. Wrong URLs are reported elsewhere.
        let is_forgotten = !reader.is_set(keys::SHARED_URLS.name);
        for (key, is_set) in [
            (keys::SHARED_MODE.name, mode != "single"),
            (keys::SENTINEL_MASTER.name, master.is_some()),
            (keys::SHARED_USERNAME.name, username.is_some()),
            (keys::SHARED_PASSWORD.name, password.is_some()),
            (keys::SHARED_CA_FILE.name, ca.is_some()),
            (keys::SHARED_SECRET.name, secret.is_some()),
        ] {
            if is_set && is_forgotten {
                reader.fault(key, "has no meaning without cache.shared.urls");
            }
        }
        return None;
    };
    if reader.is_set(keys::DISK_PATH.name) {
        reader.fault(
            keys::SHARED_URLS.name,
            "is set beside cache.disk.path: figures are kept on disk or in the shared store, not in both",
        );
    }
    if lease < 10 * timeout {
        reader.fault(
            keys::SHARED_LEASE.name,
            "must be at least ten times as long as cache.shared.timeout",
        );
    }
    let mode = match (mode, master) {
        ("sentinel", Some(master)) => Mode::Sentinel {
            master: master.to_string(),
        },
        ("sentinel", None) => {
            let missing = "is missing: the name that the sentinels know the primary by";
            reader.require(&keys::SENTINEL_MASTER, missing);
            return None;
        }
        (_, Some(_)) => {
            let problem = "is only for cache.shared.mode = \"sentinel\"";
            reader.fault(keys::SENTINEL_MASTER.name, problem);
            return None;
        }
        ("cluster", None) => Mode::Cluster,
        _ => Mode::Single,
    };
    if mode == Mode::Single && urls.len() > 1 {
        let problem = "must be one URL, or cache.shared.mode must say what is at several: sentinel or cluster";
        reader.fault(keys::SHARED_URLS.name, problem);
    }
    let is_plain = |url: &Url| matches!(url.path(), "" | "/");
    if mode != Mode::Single && !urls.iter().all(is_plain) {
        let problem =
            "must not name a database (/2): only cache.shared.mode = \"single\" has several";
        reader.fault(keys::SHARED_URLS.name, problem);
    }
    let Some(secret) = secret.or_else(|| refresh_token.cloned()) else {
        let missing = "is missing: where there is no upstream.refresh_token, the replicas need a secret of their own";
        reader.require(&keys::SHARED_SECRET, missing);
        return None;
    };
    let store = store::Settings {
        urls,
        mode,
        username: username.map(|name| name.to_string()),
        password,
        ca,
    };
    if let Err(error) = store::check(&store) {
        reader.fault(keys::SHARED_URLS.name, error.to_string());
    }
    Some(Shared {
        store,
        tier: tier::shared::Settings {
            prefix: prefix.to_string(),
            timeout,
            lease,
            keep: policy.longest_use(),
        },
        secret,
        renew_alone,
    })
}

/// The content of the file with certificate authorities.
fn certificates(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let mut content = None;
    reader.read_as(&keys::SHARED_CA_FILE, |raw| {
        let path = value::path(raw)?;
        let read = std::fs::read(&path)
            .map_err(|error| Problem::new(format!("{} cannot be read: {error}", path.display())))?;
        content = Some(read);
        Ok(path)
    });
    content
}
