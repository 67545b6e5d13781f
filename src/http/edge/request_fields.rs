//! The header fields of a request that decide about a hit, found in one pass: each look-up by name would hash the name and search for it.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, IF_NONE_MATCH, ORIGIN, RANGE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::request_id::X_REQUEST_ID;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The fields of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct RequestFields<'a> {
    /// Number of bytes in the names and values of all fields, these and others.
    pub(super) bytes: usize,
    pub(super) authorization: Lines<'a>,
    pub(super) host: Lines<'a>,
    pub(super) origin: Lines<'a>,
    pub(super) user_agent: Lines<'a>,
    pub(super) x_api_key: Lines<'a>,
    pub(super) x_request_id: Lines<'a>,
    pub(in crate::http) accept: Lines<'a>,
    pub(in crate::http) accept_encoding: Lines<'a>,
    pub(in crate::http) if_none_match: Lines<'a>,
    pub(in crate::http) range: Lines<'a>,
}

/// The lines of one field.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct Lines<'a> {
    /// Value of the first line.
    pub(in crate::http) first: Option<&'a HeaderValue>,
    several: bool,
}

/// The field appears on several lines.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Several;

impl<'a> RequestFields<'a> {
    /// The fields among `headers`.
    pub(in crate::http) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.bytes += name.as_str().len() + value.len();
            let lines = match *name {
                ACCEPT => &mut fields.accept,
                ACCEPT_ENCODING => &mut fields.accept_encoding,
                AUTHORIZATION => &mut fields.authorization,
                HOST => &mut fields.host,
                IF_NONE_MATCH => &mut fields.if_none_match,
                ORIGIN => &mut fields.origin,
                RANGE => &mut fields.range,
                USER_AGENT => &mut fields.user_agent,
                _ if *name == X_API_KEY => &mut fields.x_api_key,
                _ if *name == X_REQUEST_ID => &mut fields.x_request_id,
                _ => continue,
            };
            lines.add(value);
        }
        fields
    }
}

impl<'a> Lines<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        if self.first.is_some() {
            self.several = true;
        } else {
            self.first = Some(value);
        }
    }

    /// Whether the request has the field.
    pub(in crate::http) const fn any(self) -> bool {
        self.first.is_some()
    }

    /// Value of a field that may appear at most once, if present.
    pub(in crate::http) fn single(self) -> Result<Option<&'a [u8]>, Several> {
        if self.several {
            return Err(Several);
        }
        Ok(self.first.map(HeaderValue::as_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_under_its_name() {
        let find = |name: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-other", HeaderValue::from_static("other"));
            headers.insert(name, HeaderValue::from_static("value"));
            let fields = RequestFields::of(&headers);
            let known = [
                ("accept", fields.accept),
                ("accept-encoding", fields.accept_encoding),
                ("authorization", fields.authorization),
                ("host", fields.host),
                ("if-none-match", fields.if_none_match),
                ("origin", fields.origin),
                ("range", fields.range),
                ("user-agent", fields.user_agent),
                ("x-api-key", fields.x_api_key),
                ("x-request-id", fields.x_request_id),
            ];
            let found = known
                .into_iter()
                .filter_map(|(name, lines)| Some((name, lines.first?.clone())));
            found.collect::<Vec<_>>()
        };

        for name in [
            "accept",
            "accept-encoding",
            "authorization",
            "host",
            "if-none-match",
            "origin",
            "range",
            "user-agent",
            "x-api-key",
            "x-request-id",
        ] {
            assert_eq!(find(name), [(name, HeaderValue::from_static("value"))]);
        }
        assert_eq!(find("x-request"), []);
    }

    #[test]
    fn a_field_in_several_lines_has_no_single_value() {
        let mut headers = HeaderMap::new();
        assert_eq!(RequestFields::of(&headers).accept.single(), Ok(None));

        headers.append(ACCEPT, HeaderValue::from_static("a"));
        headers.append(ACCEPT, HeaderValue::from_static("b"));
        headers.append(HOST, HeaderValue::from_static("c"));

        let fields = RequestFields::of(&headers);
        assert_eq!(fields.accept.single(), Err(Several));
        assert_eq!(fields.accept.first.unwrap(), "a");
        assert_eq!(fields.host.single(), Ok(Some(&b"c"[..])));
        assert_eq!(fields.bytes, 6 + 1 + 6 + 1 + 4 + 1);
    }
}
