//! The header fields of answers to traffic queries.
//!
//! Successive answers have the same fields with other values, so a map of their names is built once, then copied and filled in: inserting
//! each name anew took a tenth of a hit's instructions.

use std::cell::RefCell;

use headers::Header;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderName, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use super::observe::CACHE_STATUS;
use super::rate_limit::{RATELIMIT, RATELIMIT_POLICY};
use super::request_id::X_REQUEST_ID;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const AS_OF: HeaderName = HeaderName::from_static("pitaya-as-of");
const STALE: HeaderName = HeaderName::from_static("pitaya-stale");
const PROVISIONAL_FROM: HeaderName = HeaderName::from_static("pitaya-provisional-from");
const COVERAGE: HeaderName = HeaderName::from_static("pitaya-coverage");
const ERRORS: HeaderName = HeaderName::from_static("pitaya-errors");

/// A field of such an answer, as its index in [`NAMES`].
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Field {
    ETag,
    CacheControl,
    CacheStatus,
    ServerTiming,
    Vary,
    AsOf,
    Stale,
    ProvisionalFrom,
    Coverage,
    Errors,
    ContentType,
    ContentEncoding,
    RequestId,
    ContentTypeOptions,
    ReferrerPolicy,
    AllowOrigin,
    ExposeHeaders,
    RateLimit,
    RateLimitPolicy,
    AcceptRanges,
    ContentRange,
    Date,
}

const COUNT: usize = 22;

const NAMES: [HeaderName; COUNT] = [
    ETAG,
    CACHE_CONTROL,
    CACHE_STATUS,
    SERVER_TIMING,
    VARY,
    AS_OF,
    STALE,
    PROVISIONAL_FROM,
    COVERAGE,
    ERRORS,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    X_REQUEST_ID,
    X_CONTENT_TYPE_OPTIONS,
    REFERRER_POLICY,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    RATELIMIT,
    RATELIMIT_POLICY,
    ACCEPT_RANGES,
    CONTENT_RANGE,
    DATE,
];

/// Set of fields: a bit for each.
type Set = u32;

/// Values of an answer's fields. Boxed, since they are passed on a few times.
#[derive(Debug, Default)]
pub(in crate::http) struct Fields(Box<[Option<HeaderValue>; COUNT]>);

thread_local! {
    /// One map for each set of fields used so far. There are few sets; they depend on the caller, its origin and the coding.
    static FORMS: RefCell<Vec<(Set, HeaderMap)>> = const { RefCell::new(Vec::new()) };
}

impl Fields {
    /// Sets `field` to `value`.
    pub(in crate::http) fn set(&mut self, field: Field, value: HeaderValue) {
        self.0[field as usize] = Some(value);
    }

    /// Sets `field` to the single value of `header`.
    pub(in crate::http) fn set_typed(&mut self, field: Field, header: &impl Header) {
        header.encode(&mut Place(&mut self.0[field as usize]));
    }

    /// The value of `field` as text.
    pub(in crate::http) fn text(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_ref()?.to_str().ok()
    }

    /// The fields as a map.
    pub(in crate::http) fn into_map(mut self) -> HeaderMap {
        let set = self.which();
        let mut map = FORMS.with_borrow_mut(|forms| {
            if let Some((_, form)) = forms.iter().find(|(known, _)| *known == set) {
                return form.clone();
            }
            let form = self.form();
            forms.push((set, form.clone()));
            form
        });
        // A map iterates over its fields in insertion order; a test checks this.
        let values = self.0.iter_mut().filter_map(Option::take);
        for (blank, value) in map.values_mut().zip(values) {
            *blank = value;
        }
        map
    }

    fn which(&self) -> Set {
        let bits = self.0.iter().enumerate();
        bits.fold(0, |set, (at, value)| set | Set::from(value.is_some()) << at)
    }

    fn form(&self) -> HeaderMap {
        let named = NAMES.into_iter().zip(&*self.0);
        let named = named.filter(|(_, value)| value.is_some());
        named
            .map(|(name, _)| (name, HeaderValue::from_static("")))
            .collect()
    }
}

/// Target to which a header writes its value.
struct Place<'a>(&'a mut Option<HeaderValue>);

impl Extend<HeaderValue> for Place<'_> {
    fn extend<I: IntoIterator<Item = HeaderValue>>(&mut self, values: I) {
        *self.0 = values.into_iter().last();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_has_its_own_name(sets in prop::collection::vec(prop::bits::u32::between(0, COUNT), 1..8)) {
            for set in sets {
                let mut fields = Fields::default();
                let mut expected = HeaderMap::new();
                for (at, name) in NAMES.into_iter().enumerate().filter(|(at, _)| set >> at & 1 == 1) {
                    let value = HeaderValue::from(at);
                    fields.0[at] = Some(value.clone());
                    expected.insert(name, value);
                }

                prop_assert_eq!(fields.into_map(), expected);
            }
        }
    }

    #[test]
    fn a_field_is_the_index_of_its_name() {
        for (field, name) in [
            (Field::ETag, "etag"),
            (Field::CacheControl, "cache-control"),
            (Field::CacheStatus, "cache-status"),
            (Field::ServerTiming, "server-timing"),
            (Field::Vary, "vary"),
            (Field::AsOf, "pitaya-as-of"),
            (Field::Stale, "pitaya-stale"),
            (Field::ProvisionalFrom, "pitaya-provisional-from"),
            (Field::Errors, "pitaya-errors"),
            (Field::ContentType, "content-type"),
            (Field::ContentEncoding, "content-encoding"),
            (Field::RequestId, "x-request-id"),
            (Field::ContentTypeOptions, "x-content-type-options"),
            (Field::ReferrerPolicy, "referrer-policy"),
            (Field::AllowOrigin, "access-control-allow-origin"),
            (Field::ExposeHeaders, "access-control-expose-headers"),
            (Field::RateLimit, "ratelimit"),
            (Field::RateLimitPolicy, "ratelimit-policy"),
            (Field::AcceptRanges, "accept-ranges"),
            (Field::ContentRange, "content-range"),
            (Field::Date, "date"),
        ] {
            assert_eq!(NAMES[field as usize], name);
        }
    }
}
