//! Authentication: maps an API key to its client's rights.
//!
//! A map from digests finds the keys: a SHA-256 reveals nothing about its key, so the duration of a look-up may be visible, and more
//! clients cost no more.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use foldhash::{HashMap, HashMapExt};
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::rate_limit::{ClientLimit, Standing};
use super::request_fields::{RequestFields, Several};
use super::usage::Usage;
use crate::domain::site::{CustomerId, SiteId};
use crate::domain::tag::Tag;
use crate::http::params::Scope;
use crate::http::problem::{ApiError, KeyFault};
use crate::http::settings::{Auth, RateLimit, Settings};
use crate::service::CellCounts;

/// The calling client and its rights.
#[derive(Debug, Default)]
pub(in crate::http) struct Caller {
    /// Name of the client; `None` if authentication is disabled.
    pub(in crate::http) name: Option<Arc<str>>,
    customers: Vec<CustomerId>,
    sites: Option<BTreeSet<SiteId>>,
    tags: Option<BTreeSet<Tag>>,
    admin: bool,
    limit: Option<Arc<ClientLimit>>,
    /// `None` if authentication is disabled.
    usage: Option<Usage>,
    /// Cancelled once the caller's key is no longer valid.
    pub(in crate::http) revoked: CancellationToken,
}

impl Caller {
    /// The caller's scope.
    pub(in crate::http) fn scope(&self) -> Scope<'_> {
        Scope {
            customers: &self.customers,
            sites: self.sites.as_ref(),
            tags: self.tags.as_ref(),
        }
    }

    /// The result of `answer`, unless the caller's key becomes invalid while it is made.
    pub(in crate::http) async fn unless_revoked<T, E: Into<ApiError>>(
        &self,
        answer: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, ApiError> {
        let answer = self.revoked.run_until_cancelled(answer).await;
        let revoked = ApiError::Unauthenticated(KeyFault::Unknown);
        answer.ok_or(revoked)?.map_err(Into::into)
    }

    /// Counts a request that ended with that status.
    pub(super) fn count_request(&self, status: StatusCode) {
        if let Some(usage) = &self.usage {
            usage.count(status);
        }
    }

    /// Counts the cells of an answered query.
    pub(in crate::http) fn count_cells(&self, cells: CellCounts) {
        if let Some(usage) = &self.usage {
            usage.count_cells(cells);
        }
    }

    /// Counts a request against the caller's rate limit; `None` if it has no limit.
    pub(super) fn count(&self) -> Option<Standing> {
        self.limit.as_ref().map(|limit| limit.count())
    }

    /// Whether it may make changes. Without authentication, the middleware refuses those that do not come from this machine.
    pub(super) fn may_administrate(&self) -> bool {
        self.admin || self.name.is_none()
    }
}

/// Authenticates callers by their keys.
#[derive(Debug)]
pub(super) struct Authenticator {
    /// Clients by the digests of their keys; empty if authentication is disabled.
    keys: HashMap<[u8; 32], Arc<Caller>>,
    /// Caller for every request if authentication is disabled.
    anybody: Option<Arc<Caller>>,
}

impl Authenticator {
    /// Creates the authenticator of `settings`. Clients with the same name and rate limit as in `before` keep their use of that limit.
    pub(super) fn new(settings: &Settings, before: Option<&Self>) -> Self {
        let clients = match &settings.auth {
            Auth::Required(clients) => clients,
            Auth::Disabled => {
                let known = before.and_then(|before| before.anybody.as_ref());
                let anybody = Caller {
                    customers: settings.customers.clone(),
                    revoked: known.map(|known| known.revoked.clone()).unwrap_or_default(),
                    ..Caller::default()
                };
                return Self {
                    keys: HashMap::new(),
                    anybody: Some(Arc::new(anybody)),
                };
            }
        };
        let keys = clients.iter().flat_map(|client| {
            let visible = |customer: &CustomerId| {
                let of_client = client.customer_ids.as_ref();
                of_client.is_none_or(|customers| customers.contains(customer))
            };
            let customers = settings.customers.iter().copied().filter(visible);
            let customers: Vec<_> = customers.collect();
            let limit = client.rate_limit.map(|limit| {
                let kept = before.and_then(|before| before.limit_of(&client.name, limit));
                kept.unwrap_or_else(|| Arc::new(ClientLimit::new(limit)))
            });
            let name: Arc<str> = client.name.as_str().into();
            let usage = Usage::of(&client.name);
            client.key_sha256.iter().map(move |digest| {
                let known = before.and_then(|before| before.keys.get(digest));
                let caller = Caller {
                    name: Some(Arc::clone(&name)),
                    customers: customers.clone(),
                    sites: client.site_ids.clone(),
                    tags: client.tags.clone(),
                    admin: client.admin,
                    limit: limit.clone(),
                    usage: Some(usage.clone()),
                    revoked: known.map(|known| known.revoked.clone()).unwrap_or_default(),
                };
                (*digest, Arc::new(caller))
            })
        });
        Self {
            keys: keys.collect(),
            anybody: None,
        }
    }

    /// Ends transfers to callers whose keys `now` no longer contains, unless `now` admits everybody.
    pub(super) fn end_all_but(&self, now: &Self) {
        if now.anybody.is_some() {
            return;
        }
        let keys = self.keys.iter();
        let gone = keys.filter(|(digest, _)| !now.keys.contains_key(*digest));
        for caller in gone.map(|(_, caller)| caller).chain(&self.anybody) {
            caller.revoked.cancel();
        }
    }

    /// Names of the clients.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let callers = self.keys.values();
        callers
            .filter_map(|caller| caller.name.as_deref())
            .collect()
    }

    /// The client's existing counter, if a client of that name has that limit.
    fn limit_of(&self, name: &str, limit: RateLimit) -> Option<Arc<ClientLimit>> {
        let mut callers = self.keys.values();
        let caller = callers.find(|caller| caller.name.as_deref() == Some(name))?;
        caller.limit.clone().filter(|kept| kept.is_of(limit))
    }

    /// Whether every caller counts as the same one, without a key.
    pub(super) const fn is_disabled(&self) -> bool {
        self.anybody.is_some()
    }

    /// Caller of a request with those header fields.
    ///
    /// The duration of the look-up may reveal something about the key's digest, but a digest reveals nothing about its key.
    pub(super) fn caller(&self, fields: &RequestFields<'_>) -> Result<&Arc<Caller>, KeyFault> {
        if let Some(anybody) = &self.anybody {
            return Ok(anybody);
        }
        self.caller_with(&key(fields)?)
    }

    /// Caller with that key; every caller if authentication is disabled.
    pub(super) fn caller_with(&self, key: &[u8]) -> Result<&Arc<Caller>, KeyFault> {
        if let Some(anybody) = &self.anybody {
            return Ok(anybody);
        }
        let digest: [u8; 32] = Sha256::digest(key).into();
        self.keys.get(&digest).ok_or(KeyFault::Unknown)
    }
}

impl From<Several> for KeyFault {
    fn from(_: Several) -> Self {
        Self::Malformed
    }
}

/// The key in a request: that of `X-API-Key`, if the request has this field, otherwise that of `Authorization`.
fn key<'a>(fields: &RequestFields<'a>) -> Result<Cow<'a, [u8]>, KeyFault> {
    let key = if let Some(key) = fields.x_api_key.single()? {
        Cow::Borrowed(key)
    } else {
        let value = fields.authorization.single()?.ok_or(KeyFault::Missing)?;
        credentials(value).ok_or(KeyFault::Malformed)?
    };
    if key.is_empty() {
        return Err(KeyFault::Malformed);
    }
    Ok(key)
}

/// The key after the scheme, which matches in any case (RFC 9110, section 11.1): the whole text after `Bearer`, or the password after
/// `Basic`.
fn credentials(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at(at);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Some(Cow::Borrowed(rest))
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        password(rest).map(Cow::Owned)
    } else {
        None
    }
}

/// The password in the credentials of the scheme `Basic` (RFC 7617). The user may have any name, and no name contains a colon.
///
/// Spreadsheets and reporting tools can send a password, and often no other header field. No answer asks for the scheme, because a
/// browser would then ask its user for a password in place of the explorer.
fn password(encoded: &[u8]) -> Option<Vec<u8>> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut decoded = BASE64.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::http::settings::Client;
    use crate::http::testing;

    fn client(name: &str, keys: &[&str]) -> Client {
        Client {
            name: name.into(),
            key_sha256: keys.iter().map(|key| Sha256::digest(key).into()).collect(),
            customer_ids: None,
            site_ids: None,
            tags: None,
            rate_limit: None,
            admin: false,
        }
    }

    fn authenticator() -> Authenticator {
        let one = CustomerId::new(1).unwrap();
        let nine = CustomerId::new(9).unwrap();
        let scoped = Client {
            customer_ids: Some(BTreeSet::from([one, nine])),
            ..client("scoped", &["scoped-key"])
        };
        Authenticator::new(
            &Settings {
                auth: Auth::Required(vec![client("rotated", &["old", "new"]), scoped]),
                ..testing::settings()
            },
            None,
        )
    }

    fn name(headers: &[(&'static str, &'static str)]) -> Result<String, KeyFault> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let authenticator = authenticator();
        let caller = authenticator.caller(&RequestFields::of(&map))?;
        Ok(caller.name.as_deref().unwrap_or("anybody").to_owned())
    }

    #[test]
    fn either_field_carries_any_of_the_clients_keys() {
        assert_eq!(name(&[("authorization", "Bearer old")]).unwrap(), "rotated");
        assert_eq!(name(&[("authorization", "bearer new")]).unwrap(), "rotated");
        assert_eq!(name(&[("x-api-key", "scoped-key")]).unwrap(), "scoped");
        for basic in [
            "Basic YW55Ym9keTpvbGQ=",
            "basic  YW55Ym9keTpvbGQ",
            "BASIC Om5ldw==",
        ] {
            assert_eq!(name(&[("authorization", basic)]).unwrap(), "rotated");
        }
    }

    #[test]
    fn a_password_is_all_that_follows_the_first_colon() {
        for (encoded, key) in [
            ("dTprOmV5", Some(&b"k:ey"[..])),
            ("dTo=", Some(b"")),
            ("dXNlcg==", None),
            ("dTpr!", None),
            ("", None),
        ] {
            assert_eq!(password(encoded.as_bytes()).as_deref(), key, "{encoded}");
        }
    }

    #[test]
    fn the_field_for_keys_decides_if_it_is_there() {
        for other in [
            &[("authorization", "Bearer new")][..],
            &[("authorization", "Bearer nobody's")],
            &[("authorization", "Basic x")],
            &[("authorization", "Bearer 1"), ("authorization", "Bearer 2")],
        ] {
            let both = |key| [&[("x-api-key", key)], other].concat();

            assert_eq!(name(&both("scoped-key")).unwrap(), "scoped", "{other:?}");
            assert_eq!(name(&both("nobody's")), Err(KeyFault::Unknown));
            assert_eq!(name(&both("")), Err(KeyFault::Malformed));
        }
    }

    #[test]
    fn missing_wrong_and_repeated_keys_are_refused() {
        assert_eq!(name(&[]), Err(KeyFault::Missing));
        assert_eq!(name(&[("x-api-key", "nobody's")]), Err(KeyFault::Unknown));
        for malformed in [
            &[("x-api-key", "old"), ("x-api-key", "old")][..],
            &[("authorization", "Basic b2xk")],
            &[("authorization", "Basic b2xkOg==")],
            &[("authorization", "Digest old")],
            &[("authorization", "old")],
            &[("authorization", "Bearer ")],
            &[("x-api-key", "")],
        ] {
            assert_eq!(name(malformed), Err(KeyFault::Malformed), "{malformed:?}");
        }
    }

    #[test]
    fn a_client_sees_only_its_own_configured_customers() {
        let authenticator = authenticator();
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("scoped-key"));

        let scope = authenticator
            .caller(&RequestFields::of(&headers))
            .unwrap()
            .scope();

        assert_eq!(scope.customers, [CustomerId::new(1).unwrap()]);
    }

    #[test]
    fn a_client_without_the_right_may_not_administrate() {
        let authenticator = authenticator();
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("old"));

        let caller = authenticator.caller(&RequestFields::of(&headers)).unwrap();

        assert!(!caller.may_administrate());
    }
}
