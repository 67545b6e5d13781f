//! The header fields of answers to traffic queries.
//!
//! Successive answers have the same fields with other values, so a map of their names is built once, then copied and filled in: inserting
//! each name anew took a tenth of a hit's instructions. The copy already has the values that are always the same.

use std::cell::RefCell;
use std::mem;

use headers::Header;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderName, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use super::cors::EXPOSED;
use super::observe::CACHE_STATUS;
use super::rate_limit::{RATELIMIT, RATELIMIT_POLICY};
use super::request_id::X_REQUEST_ID;
use crate::http::present::{self, Format};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const AS_OF: HeaderName = HeaderName::from_static("pitaya-as-of");
const STALE: HeaderName = HeaderName::from_static("pitaya-stale");
const PROVISIONAL_FROM: HeaderName = HeaderName::from_static("pitaya-provisional-from");
const COVERAGE: HeaderName = HeaderName::from_static("pitaya-coverage");
const ERRORS: HeaderName = HeaderName::from_static("pitaya-errors");

pub(super) const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(super) const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Declares an enum whose variants are the indices of a table.
macro_rules! table {
    ($(#[$doc:meta])* $kind:ident, $table:ident: [$entry:ty; $count:ident] {
        $($(#[$about:meta])* $variant:ident = $value:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(in crate::http) enum $kind { $($(#[$about])* $variant,)* }

        const $count: usize = [$($kind::$variant),*].len();

        const $table: [$entry; $count] = [$($value),*];
    };
}

table! {
    /// A field with a value of its own in each answer, as its index in [`NAMES`].
    Field, NAMES: [HeaderName; COUNT] {
        ETag = ETAG,
        CacheControl = CACHE_CONTROL,
        CacheStatus = CACHE_STATUS,
        ServerTiming = SERVER_TIMING,
        AsOf = AS_OF,
        ProvisionalFrom = PROVISIONAL_FROM,
        Coverage = COVERAGE,
        Errors = ERRORS,
        ContentEncoding = CONTENT_ENCODING,
        RequestId = X_REQUEST_ID,
        AllowOrigin = ACCESS_CONTROL_ALLOW_ORIGIN,
        RateLimit = RATELIMIT,
        RateLimitPolicy = RATELIMIT_POLICY,
        ContentRange = CONTENT_RANGE,
        Date = DATE,
    }
}

table! {
    /// A field that has the same value in all answers that have it, as its index in [`CONSTANTS`].
    Constant, CONSTANTS: [(HeaderName, HeaderValue); CONSTANT_COUNT] {
        Vary = (VARY, present::VARY),
        Stale = (STALE, present::STALE),
        AcceptRanges = (ACCEPT_RANGES, present::ACCEPT_RANGES),
        ContentTypeOptions = (X_CONTENT_TYPE_OPTIONS, NO_SNIFF),
        ReferrerPolicy = (REFERRER_POLICY, NO_REFERRER),
        ExposeHeaders = (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
        /// [`Field::ServerTiming`] of an answer that took no steps.
        NoSteps = (SERVER_TIMING, present::NO_STEPS),
        Json = (CONTENT_TYPE, media_type(Format::Json)),
        Csv = (CONTENT_TYPE, media_type(Format::Csv)),
        Ndjson = (CONTENT_TYPE, media_type(Format::Ndjson)),
        Xlsx = (CONTENT_TYPE, media_type(Format::Xlsx)),
    }
}

const fn media_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(format.content_type())
}

/// Set of fields: a bit for each, those of [`CONSTANTS`] after those of [`NAMES`].
type Set = u32;

/// The fields of an answer. Their values are boxed, since they are passed on a few times.
#[derive(Debug, Default)]
pub(in crate::http) struct Fields {
    set: Set,
    values: Box<[Option<HeaderValue>; COUNT]>,
}

thread_local! {
    /// One map for each set of fields used so far. There are few sets; they depend on the caller, its origin and the coding.
    static FORMS: RefCell<Vec<(Set, HeaderMap)>> = const { RefCell::new(Vec::new()) };
}

impl Fields {
    /// Sets `field` to `value`.
    pub(in crate::http) fn set(&mut self, field: Field, value: HeaderValue) {
        self.set |= 1 << field as u32;
        self.values[field as usize] = Some(value);
    }

    /// Sets `field` to the single value of `header`.
    pub(in crate::http) fn set_typed(&mut self, field: Field, header: &impl Header) {
        header.encode(&mut Place(self, field));
    }

    /// Adds a field that always has the same value.
    pub(in crate::http) fn add(&mut self, constant: Constant) {
        self.set |= 1 << (COUNT + constant as usize);
    }

    /// The value of `field` as text.
    pub(in crate::http) fn text(&self, field: Field) -> Option<&str> {
        self.values[field as usize].as_ref()?.to_str().ok()
    }

    /// The fields as a map.
    pub(in crate::http) fn into_map(mut self) -> HeaderMap {
        let mut map = FORMS.with_borrow_mut(|forms| {
            if let Some((_, form)) = forms.iter().find(|(known, _)| *known == self.set) {
                return form.clone();
            }
            let form = form(self.set);
            forms.push((self.set, form.clone()));
            form
        });
        // A map iterates over its fields in insertion order, so the constants come last; a test checks this.
        // Swapping costs less than taking each value out, and dropping a blank one for it.
        for (value, blank) in self.values.iter_mut().flatten().zip(map.values_mut()) {
            mem::swap(value, blank);
        }
        map
    }
}

/// The map of a set of fields, still without the values of [`NAMES`].
fn form(set: Set) -> HeaderMap {
    let blank = |name| (name, HeaderValue::from_static(""));
    let all = NAMES.into_iter().map(blank).chain(CONSTANTS);
    let named = all.enumerate().filter(|(at, _)| set >> at & 1 == 1);
    named.map(|(_, field)| field).collect()
}

/// Target to which a header writes its value.
struct Place<'a>(&'a mut Fields, Field);

impl Extend<HeaderValue> for Place<'_> {
    fn extend<I: IntoIterator<Item = HeaderValue>>(&mut self, values: I) {
        if let Some(value) = values.into_iter().last() {
            self.0.set(self.1, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [Field; COUNT] = [
        Field::ETag,
        Field::CacheControl,
        Field::CacheStatus,
        Field::ServerTiming,
        Field::AsOf,
        Field::ProvisionalFrom,
        Field::Coverage,
        Field::Errors,
        Field::ContentEncoding,
        Field::RequestId,
        Field::AllowOrigin,
        Field::RateLimit,
        Field::RateLimitPolicy,
        Field::ContentRange,
        Field::Date,
    ];

    const ALL_CONSTANTS: [Constant; CONSTANT_COUNT] = [
        Constant::Vary,
        Constant::Stale,
        Constant::AcceptRanges,
        Constant::ContentTypeOptions,
        Constant::ReferrerPolicy,
        Constant::ExposeHeaders,
        Constant::NoSteps,
        Constant::Json,
        Constant::Csv,
        Constant::Ndjson,
        Constant::Xlsx,
    ];

    proptest! {
        #[test]
        fn every_value_has_its_own_name(sets in prop::collection::vec(prop::bits::u32::between(0, COUNT + CONSTANT_COUNT), 1..8)) {
            for set in sets {
                let mut fields = Fields::default();
                let mut expected = HeaderMap::new();
                for field in FIELDS.into_iter().filter(|field| set >> *field as usize & 1 == 1) {
                    let value = HeaderValue::from(field as usize);
                    fields.set(field, value.clone());
                    expected.insert(&NAMES[field as usize], value);
                }
                for constant in ALL_CONSTANTS.into_iter().filter(|constant| set >> (COUNT + *constant as usize) & 1 == 1) {
                    let (name, value) = &CONSTANTS[constant as usize];
                    // An answer has each field once.
                    if !expected.contains_key(name) {
                        fields.add(constant);
                        expected.insert(name, value.clone());
                    }
                }

                prop_assert_eq!(fields.into_map(), expected);
            }
        }
    }
}
