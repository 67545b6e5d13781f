//! Writes figures as text: counts as integers, all others with up to four decimals in the shortest form.

use std::io::Write;

use serde_json::value::RawValue;

/// The text style of a column's figures.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// As an integer.
    Count,
    /// With up to four decimals.
    Decimal,
}

impl Style {
    /// The style of a column of counts, or of other figures.
    pub(super) const fn of(is_count: bool) -> Self {
        if is_count { Self::Count } else { Self::Decimal }
    }
}

const DECIMALS: f64 = 10_000.0;
/// Below this limit, the error of a figure times [`DECIMALS`] is less than [`NEAR`].
const SMALL: f64 = 500_000.0;
/// This close to the middle between two decimals, the product cannot decide the rounding.
const NEAR: f64 = 1e-6;
/// Up to this limit, a whole float is exact as an integer.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Appends a finite figure that is zero or more.
pub(super) fn push(out: &mut Vec<u8>, style: Style, value: f64) {
    if let Some(whole) = as_whole(value) {
        push_whole(out, whole);
        return;
    }
    match style {
        Style::Count => push_rounded(out, value, 0),
        Style::Decimal if value < SMALL => push_small_decimal(out, value),
        Style::Decimal => push_rounded(out, value, 4),
    }
}

/// Appends a finite number of either sign, with up to four decimals; never a negative zero.
pub(super) fn push_signed(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    if value.is_sign_negative() {
        out.push(b'-');
    }
    push(out, Style::Decimal, value.abs());
    if &out[start..] == b"-0" {
        out.remove(start);
    }
}

/// A finite number of either sign, as exact as its text.
pub(super) fn rounded(style: Style, value: f64) -> f64 {
    let mut text = Vec::new();
    push(&mut text, style, value.abs());
    let text = std::str::from_utf8(&text).expect("digits, and perhaps a point");
    let size: f64 = text.parse().expect("a figure is a number");
    if value < 0.0 && size > 0.0 {
        -size
    } else {
        size
    }
}

/// A figure as a number in JSON: a count as an integer.
pub(in crate::http) fn number(is_count: bool, value: f64) -> Box<RawValue> {
    let mut text = Vec::new();
    push(&mut text, Style::of(is_count), value);
    let text = String::from_utf8(text).expect("digits, and perhaps a point");
    RawValue::from_string(text).expect("a figure is a number")
}

#[expect(
    clippy::float_cmp,
    reason = "only a whole number survives the way to an integer and back"
)]
fn as_whole(value: f64) -> Option<i64> {
    let whole = (value <= WHOLE).then(|| truncated(value))?;
    (float(whole) == value).then_some(whole)
}

fn push_whole(out: &mut Vec<u8>, whole: i64) {
    match usize::try_from(whole)
        .ok()
        .and_then(|whole| SHORT.get(whole))
    {
        Some(&[length, digits @ ..]) => push_start(out, digits, usize::from(length)),
        None => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
    }
}

fn push_small_decimal(out: &mut Vec<u8>, value: f64) {
    let scaled = value * DECIMALS;
    let floor = truncated(scaled);
    let rest = scaled - float(floor);
    if (rest - 0.5).abs() < NEAR {
        return push_rounded(out, value, 4);
    }
    let rounded = floor + i64::from(rest > 0.5);
    push_whole(out, rounded / 10_000);
    let decimals = u32::try_from(rounded % 10_000).expect("below ten thousand");
    if decimals > 0 {
        let digit = |number: u32| b'0' + u8::try_from(number % 10).expect("a digit");
        let [a, b, c, d] = [
            digit(decimals / 1000),
            digit(decimals / 100),
            digit(decimals / 10),
            digit(decimals),
        ];
        let zeros = [d, c, b].iter().take_while(|digit| **digit == b'0').count();
        push_start(out, [b'.', a, b, c, d], 5 - zeros);
    }
}

/// Number of digits and digits from the left, for each short figure, since most figures are short.
static SHORT: [[u8; 4]; 1000] = short();

const fn short() -> [[u8; 4]; 1000] {
    let mut short = [[0; 4]; 1000];
    let [mut hundreds, mut tens, mut units] = [b'0'; 3];
    let mut number = 0;
    while number < short.len() {
        short[number] = match number {
            0..10 => [1, units, 0, 0],
            10..100 => [2, tens, units, 0],
            _ => [3, hundreds, tens, units],
        };
        number += 1;
        units += 1;
        if units > b'9' {
            units = b'0';
            tens += 1;
        }
        if tens > b'9' {
            tens = b'0';
            hundreds += 1;
        }
    }
    short
}

/// Appends the first `length` of `bytes`: copying a fixed number of bytes is cheaper than copying a variable number.
fn push_start<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N], length: usize) {
    let end = out.len() + length;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// Writes any float exactly, but slowly: all its digits, without zeros at the end.
fn push_rounded(out: &mut Vec<u8>, value: f64, decimals: usize) {
    let value = if decimals == 0 { value.round() } else { value };
    // Writing into a vector cannot fail.
    let _ = write!(out, "{value:.decimals$}");
    if decimals > 0 {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers pass values from 0 to 2^53"
)]
fn truncated(value: f64) -> i64 {
    value as i64
}

#[expect(clippy::cast_precision_loss, reason = "callers pass values up to 2^53")]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(style: Style, value: f64) -> String {
        let mut out = Vec::new();
        push(&mut out, style, value);
        String::from_utf8(out).unwrap()
    }

    fn trimmed(value: f64) -> String {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    #[test]
    fn even_large_counts_are_integers() {
        assert_eq!(text(Style::Count, 0.0), "0");
        assert_eq!(text(Style::Count, 77.0), "77");
        assert_eq!(text(Style::Count, 2.5), "3");
        assert_eq!(text(Style::Count, 2.499), "2");
        assert_eq!(text(Style::Count, 0.499_999_999_999_999_94), "0");
        assert_eq!(text(Style::Count, 1e20), "100000000000000000000");
        let largest = text(Style::Count, f64::MAX);
        assert_eq!(largest.len(), 309);
        assert!(largest.bytes().all(|byte| byte.is_ascii_digit()));
    }

    #[test]
    fn decimals_are_short() {
        assert_eq!(text(Style::Decimal, 12.0), "12");
        assert_eq!(text(Style::Decimal, 3.5), "3.5");
        assert_eq!(text(Style::Decimal, 0.123_44), "0.1234");
        assert_eq!(text(Style::Decimal, 0.05), "0.05");
        assert_eq!(text(Style::Decimal, 9.999_99), "10");
        assert_eq!(text(Style::Decimal, 0.000_01), "0");
        assert_eq!(text(Style::Decimal, f64::MIN_POSITIVE), "0");
        assert_eq!(text(Style::Decimal, 1_234_567.891_23), "1234567.8912");
        assert_eq!(text(Style::Decimal, 1e300).len(), 301);
    }

    #[test]
    fn numbers_of_either_sign_have_no_negative_zero() {
        let text = |value| {
            let mut out = b"x".to_vec();
            push_signed(&mut out, value);
            String::from_utf8(out).unwrap()
        };

        assert_eq!(text(-0.3750), "x-0.375");
        assert_eq!(text(12.0), "x12");
        assert_eq!(text(-0.000_01), "x0");
        assert_eq!(text(-0.0), "x0");
    }

    #[test]
    fn rounding_uses_the_float_and_not_its_product() {
        // As a float it is just below the middle, while its product with ten thousand is exactly the middle.
        assert_eq!(text(Style::Decimal, 1.000_05), format!("{:.4}", 1.000_05));
        assert_eq!(text(Style::Decimal, 5.015_35), format!("{:.4}", 5.015_35));
    }

    proptest! {
        #[test]
        fn decimals_are_rounded_like_the_standard_library(value in prop_oneof![0.0..2.0, 0.0..1e7, 0.0..f64::MAX]) {
            prop_assert_eq!(text(Style::Decimal, value), trimmed(value));
        }

        #[test]
        fn ties_are_rounded_like_the_standard_library(steps in 0_u32..2_000_000) {
            let value = f64::from(steps) / 20_000.0;

            prop_assert_eq!(text(Style::Decimal, value), trimmed(value));
        }

        #[test]
        fn every_count_is_the_nearest_integer(value in prop_oneof![0.0..1e6, 0.0..f64::MAX]) {
            prop_assert_eq!(text(Style::Count, value), format!("{:.0}", value.round()));
        }
    }
}
