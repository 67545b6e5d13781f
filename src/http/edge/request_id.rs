//! One id for each request, which connects an answer, its log line and the caller's own log.

use http::{HeaderName, HeaderValue};

/// Header field of request ids.
pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// Id of one request: 1 to 128 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug)]
pub(in crate::http) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id if it is valid, otherwise a new one.
    pub(in crate::http) fn of(sent: Option<&HeaderValue>) -> Self {
        sent.filter(|id| is_sane(id.as_bytes()))
            .map_or_else(Self::random, |id| Self(id.clone()))
    }

    fn random() -> Self {
        // An array of bytes would draw a word for each.
        let random = rand::random::<u128>().to_le_bytes();
        let mut id = [b'0'; 32];
        // The buffer holds two digits per byte, and digits are always a valid header value.
        let _ = hex::encode_to_slice(random, &mut id);
        Self(HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The id as text.
    pub(in crate::http) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of a header field.
    pub(in crate::http) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The id as the value of a header field, consuming it.
    pub(in crate::http) fn into_value(self) -> HeaderValue {
        self.0
    }
}

/// Whether an id is short and plain. A longer or odd one would appear verbatim in logs and answers.
fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &[u8]) -> String {
        let sent = HeaderValue::from_bytes(sent).unwrap();
        RequestId::of(Some(&sent)).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(id_for(b"Trace_1.2-3"), "Trace_1.2-3");
        assert_eq!(id_for(&[b'a'; 128]).len(), 128);
    }

    #[test]
    fn an_insane_id_is_replaced() {
        for insane in [&b"a b"[..], b"", b"\xff", b"a;b", b"<script>", &[b'a'; 129]] {
            let id = id_for(insane);

            assert!(id.len() == 32 && is_sane(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn generated_ids_differ() {
        assert_ne!(RequestId::of(None).as_str(), RequestId::of(None).as_str());
    }
}
