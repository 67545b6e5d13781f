//! Request fields that may appear at most once.

use http::{HeaderMap, HeaderName};

/// The field appears on several lines.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Several;

/// Value of the field `name`, if present.
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
