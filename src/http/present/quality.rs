//! Weighted preferences, as in `Accept` and `Accept-Encoding` (RFC 9110, section 12.4.2).
//!
//! A small parser of our own reads the weights; crates for them are young or incomplete.

use std::cmp::Reverse;

use http::header::{ACCEPT, AsHeaderName, HeaderMap};

/// A weight in thousandths.
pub(in crate::http) type Weight = u16;

/// The well-formed members of a header with their weights, in order.
pub(super) fn members(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> impl Iterator<Item = (&str, Weight)> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(member)
}

fn member(text: &str) -> Option<(&str, Weight)> {
    let mut parts = text.split(';').map(str::trim);
    let value = parts.next().filter(|value| !value.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    Some((value, weight.map_or(Some(1000), parse_weight)?))
}

/// Reads `0` or `1` with up to three decimals; at most 1.
fn parse_weight(text: &str) -> Option<Weight> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let thousandths: Weight = format!("{whole}{decimals:0<3}").parse().ok()?;
    (thousandths <= 1000).then_some(thousandths)
}

/// The exactness of a media range: `*/*`, `text/*`, `text/csv`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Any,
    Type,
    Subtype,
}

/// The index of the media type that `Accept` requests of ours, the preferred one first; `None` if it accepts none (RFC 9110, section
/// 12.5.1).
///
/// Of two types with the same weight, the more exact range wins, then the earlier one.
pub(in crate::http) fn accepted(headers: &HeaderMap, media_types: &[&str]) -> Option<usize> {
    if members(headers, ACCEPT).next().is_none() {
        return Some(0);
    }
    let rank = |media_type| {
        let ranges = members(headers, ACCEPT).enumerate();
        let matching = ranges.filter_map(|(place, (range, weight))| {
            Some((matched(media_type, range)?, weight, Reverse(place)))
        });
        // The most exact range that matches a type determines its weight, even if a vaguer range has more.
        let (exactness, weight, place) =
            matching.min_by_key(|(exactness, ..)| Reverse(*exactness))?;
        (weight > 0).then_some((weight, exactness, place))
    };
    let types = media_types.iter().enumerate();
    let ranked = types.filter_map(|(index, media_type)| Some((rank(media_type)?, Reverse(index))));
    ranked.max().map(|(_, Reverse(index))| index)
}

fn matched(media_type: &str, range: &str) -> Option<Exactness> {
    if range == "*/*" {
        return Some(Exactness::Any);
    }
    if range.eq_ignore_ascii_case(media_type) {
        return Some(Exactness::Subtype);
    }
    let kind = range.strip_suffix("/*")?;
    let (own_kind, _) = media_type.split_once('/')?;
    kind.eq_ignore_ascii_case(own_kind)
        .then_some(Exactness::Type)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn weights_are_parsed_and_malformed_members_are_skipped() {
        let mut headers = HeaderMap::new();
        headers.append(
            ACCEPT,
            HeaderValue::from_static("a, b;q=0.5 ,c; level=1; Q=0.25,, d;q=2, e;q=x"),
        );
        headers.append(ACCEPT, HeaderValue::from_static("f;q=0, g;q=1.000"));

        let members: Vec<_> = members(&headers, ACCEPT).collect();

        assert_eq!(
            members,
            [("a", 1000), ("b", 500), ("c", 250), ("f", 0), ("g", 1000)]
        );
    }
}
