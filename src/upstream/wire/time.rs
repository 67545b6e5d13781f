//! The `time` of a row: local, on the clock, without an offset.

use crate::domain::bucket::VendorBucket;

/// Splits `2026-02-18 09:15:00` (or with `T`) on the grid of `bucket` into the date's ten bytes and the minute of the day.
pub(super) fn split(text: &str, bucket: VendorBucket) -> Option<(&[u8; 10], u16)> {
    let text: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let (date, clock) = text.split_first_chunk::<10>()?;
    let [b' ' | b'T', h1, h2, b':', m1, m2, b':', b'0', b'0'] = *clock else {
        return None;
    };
    let number = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
    };
    let (hour, minute) = (number(h1, h2)?, number(m1, m2)?);
    (hour < 24 && minute < 60 && minute.is_multiple_of(bucket.minutes()))
        .then_some((date, hour * 60 + minute))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_off_the_grid_is_refused() {
        let quarter = VendorBucket::from_minutes(15).unwrap();

        assert_eq!(
            split("2026-02-18 09:45:00", quarter),
            Some((b"2026-02-18", 585))
        );
        assert_eq!(
            split("2026-02-18T00:00:00", quarter),
            Some((b"2026-02-18", 0))
        );
        for wrong in [
            "2026-02-18 09:50:00",
            "2026-02-18 09:45:01",
            "2026-02-18 24:00:00",
            "2026-02-18 09:60:00",
            "2026-02-18 9:45:00",
            "2026-02-18 09:45",
            "2026-02-18 09:45:00Z",
            "2026-02-18_09:45:00",
            "",
        ] {
            assert_eq!(split(wrong, quarter), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "\\PC{0,24}") {
            let _ = split(&text, VendorBucket::HOUR);
        }
    }
}
