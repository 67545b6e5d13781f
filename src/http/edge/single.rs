//! Request fields that are given once, if at all.

use http::{HeaderMap, HeaderName};

/// A field was given in several lines.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Several;

/// The value of the field `name`, if there is one.
pub(in crate::http) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a [u8]>, Several> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(http::HeaderValue::as_bytes);
    if values.next().is_some() {
        return Err(Several);
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn a_field_in_several_lines_has_no_single_value() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &ACCEPT), Ok(None));

        headers.append(ACCEPT, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &ACCEPT), Ok(Some(&b"a"[..])));

        headers.append(ACCEPT, HeaderValue::from_static("a"));
        assert_eq!(single(&headers, &ACCEPT), Err(Several));
    }
}
