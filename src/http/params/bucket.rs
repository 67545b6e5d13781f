//! Suggestions for the `bucket` parameter, in place of the words of other programs.

use super::faults::nearest;
use crate::domain::bucket::Bucket;

/// Our form of the bucket in `text`, if it uses the words or units of other programs.
pub(super) fn meant_bucket(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number: u32 = match number {
        "" => 1,
        _ => number.parse().ok()?,
    };
    let unit = match unit.trim_start() {
        // In other programs `M` is the month, as opposed to the minute.
        "M" => "month".to_owned(),
        unit => unit.to_lowercase(),
    };
    let minutes = match unit.as_str() {
        "" | "m" | "min" | "mins" | "minute" | "minutes" => number,
        "h" | "hr" | "hrs" | "hour" | "hours" | "hourly" => number.checked_mul(60)?,
        "d" | "day" | "days" | "daily" => number.checked_mul(24 * 60)?,
        "w" | "wk" | "week" | "weeks" | "weekly" => number.checked_mul(7 * 24 * 60)?,
        "mo" | "mon" | "month" | "months" | "monthly" if number == 1 => return Some("month"),
        "mo" | "mon" | "month" | "months" if number == 3 => return Some("quarter"),
        "q" | "quarter" | "quarters" | "quarterly" if number == 1 => return Some("quarter"),
        "y" | "yr" | "year" | "years" | "yearly" | "annual" if number == 1 => return Some("year"),
        "weekday" | "dow" if number == 1 => return Some("day_of_week"),
        "hour_of_the_day" | "time_of_day" if number == 1 => return Some("hour_of_day"),
        "all" | "sum" | "overall" | "totals" | "range" | "none" if number == 1 => {
            return Some("total");
        }
        unit if number == 1 => {
            let words = ["hour", "day", "week", "month", "quarter", "year", "total"];
            let profiles = ["hour_of_day", "day_of_week", "hour_of_week"];
            return nearest(unit, words.into_iter().chain(profiles));
        }
        _ => return None,
    };
    match minutes {
        60 => Some("hour"),
        1_440 => Some("day"),
        10_080 => Some("week"),
        _ => {
            let is_meant = |bucket: Bucket| matches!(bucket, Bucket::Minutes(of_it) if u32::from(of_it) == minutes);
            let mut words = Bucket::WORDS.into_iter();
            words.find_map(|(word, bucket)| is_meant(bucket).then_some(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_the_words_of_other_programs_are_suggested_and_others_are_not() {
        for (text, meant) in [
            ("d", "day"),
            ("daily", "day"),
            ("Day", "day"),
            ("1 day", "day"),
            ("1440m", "day"),
            ("w", "week"),
            ("7d", "week"),
            ("weekly", "week"),
            ("h", "hour"),
            ("hourly", "hour"),
            ("60", "hour"),
            ("60min", "hour"),
            ("2hours", "2h"),
            ("120m", "2h"),
            ("15", "15m"),
            ("15min", "15m"),
            ("15 minutes", "15m"),
            ("M", "month"),
            ("monthly", "month"),
            ("1mo", "month"),
            ("3mo", "quarter"),
            ("1q", "quarter"),
            ("Quarterly", "quarter"),
            ("1y", "year"),
            ("annual", "year"),
            ("all", "total"),
            ("totl", "total"),
            ("weekday", "day_of_week"),
            ("hour_of_the_day", "hour_of_day"),
            ("Hour_of_day", "hour_of_day"),
        ] {
            assert_eq!(meant_bucket(text), Some(meant), "{text}");
        }
        for text in [
            "45m",
            "7m",
            "1m",
            "5h",
            "2d",
            "4mo",
            "2q",
            "x",
            "-1h",
            "99999999999",
            "9999999d",
            "é",
            "",
        ] {
            assert_eq!(meant_bucket(text), None, "{text}");
        }
    }
}
