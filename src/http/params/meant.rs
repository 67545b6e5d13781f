//! Suggestions in place of the words and forms of other programs.

use jiff::civil::Date;

use super::faults::nearest;
use crate::domain::calendar::Calendar;
use crate::domain::date_expression::DateExpression;
use crate::domain::tag::Tag;

/// Our parameter for that `name`, if it is one of `known`.
pub(super) fn name<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let ours = match &*name.to_ascii_lowercase() {
        "from" | "to" | "start" | "end" | "start_date" | "end_date" | "startdate" | "enddate"
        | "start_time" | "end_time" | "since" | "until" | "day" | "period" | "range" => "dates",
        "site_id" | "site_ids" | "store" | "stores" | "location" => "sites",
        "measure" | "measures" => "metric",
        "interval" | "granularity" | "resolution" | "step" => "bucket",
        "timezone" | "time_zone" | "tz" => "time_format",
        "order_by" => "sort",
        _ => "",
    };
    let same = known.clone().find(|known| *known == ours);
    same.or_else(|| nearest(name, known))
}

/// Our word for a value of `parameter`, which has these `words`.
pub(super) fn word<'a>(
    parameter: &str,
    text: &str,
    words: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let ours = match (parameter, &*text.to_ascii_lowercase()) {
        ("partial", "true" | "yes" | "1") => "allow",
        ("partial", "false" | "no" | "0") => "deny",
        ("format", "excel" | "xls") => "xlsx",
        ("format", "jsonl") => "ndjson",
        ("fill", "0") => "zero",
        ("compare", "last_year") => "previous_year",
        ("compare", "last_week") => "previous_week",
        ("compare", "last_period") => "previous_period",
        ("comparable", "1") => "true",
        ("comparable", "0") => "false",
        _ => return nearest(text, words),
    };
    Some(ours)
}

/// Our form of the dates in `text`.
pub(super) fn dates(text: &str, calendar: &Calendar) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let is_sound = |meant: &String| DateExpression::parse(meant, calendar).is_ok();
    let weeks = text
        .strip_prefix("last_")
        .and_then(|rest| rest.strip_suffix("_weeks"));
    if let Some(weeks) = weeks.and_then(|weeks| weeks.parse::<u16>().ok()) {
        let meant = format!("last_{}_days", u32::from(weeks) * 7);
        return Some(meant).filter(is_sound);
    }
    let separators = ["...", "..", ",", ":", " to ", "/"].into_iter();
    let range = separators
        .filter_map(|separator| text.split_once(separator))
        .find_map(|(from, to)| Some(format!("{}..{}", date(from)?, date(to)?)));
    let meant = range.or_else(|| date(&text)).filter(is_sound);
    meant.or_else(|| {
        // A word with another number is another word.
        let number = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
        let near = nearest(&text, DateExpression::words());
        near.filter(|near| number(near) == number(&text))
            .map(str::to_owned)
    })
}

/// Our form of the day in `text`; of one after the end of its month, that end.
fn date(text: &str) -> Option<String> {
    let text = text.trim();
    if matches!(text, "today" | "yesterday") {
        return Some(text.to_owned());
    }
    let (text, _time) = text.split_once('t').unwrap_or((text, ""));
    let is_compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = if is_compact {
        vec![&text[..4], &text[4..6], &text[6..]]
    } else {
        text.split(['-', '/', '.']).collect()
    };
    let [year, month, day] = parts[..] else {
        return None;
    };
    let year = (year.len() == 4).then(|| year.parse().ok()).flatten()?;
    let first = Date::new(year, month.parse().ok()?, 1).ok()?;
    let day: i8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let last = first.days_in_month();
    Some(first.with().day(day.min(last)).build().ok()?.to_string())
}

/// How a word for sites should be written: an end of the message.
pub(super) fn site(text: &str) -> String {
    let trimmed = text.trim();
    let lower = trimmed.to_ascii_lowercase();
    if trimmed != text {
        return "; leave out the blanks".to_owned();
    }
    if text.contains([';', '|', ' ']) {
        return "; separate sites by commas".to_owned();
    }
    if lower == "all" || lower == "*" {
        return "; did you mean all?".to_owned();
    }
    if text.contains('=') && text.parse::<Tag>().is_ok() {
        return format!("; did you mean tag:{text}?");
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_short = !text.is_empty() && text.len() <= 40 && text.bytes().all(is_plain);
    let starts_with_letter = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    match (is_short && starts_with_letter, has_digit) {
        (true, true) => format!("; did you mean code:{text}?"),
        (true, false) => format!("; /v1/sites?q={text} finds the ids of sites by their names"),
        (false, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_of_dates_suggest_ours() {
        for (text, meant) in [
            ("2026-2-1", "2026-02-01"),
            ("2026/02/01", "2026-02-01"),
            ("2026.2.1", "2026-02-01"),
            ("20260218", "2026-02-18"),
            ("2026-02-18T00:00:00", "2026-02-18"),
            ("2026-02-30", "2026-02-28"),
            ("2026-02-01,2026-02-03", "2026-02-01..2026-02-03"),
            ("2026-02-01:2026-02-03", "2026-02-01..2026-02-03"),
            ("2026-02-01/2026-02-03", "2026-02-01..2026-02-03"),
            ("2026-02-01...2026-02-03", "2026-02-01..2026-02-03"),
            ("2026-2-1..2026-2-3", "2026-02-01..2026-02-03"),
            ("2026-02-01..Today", "2026-02-01..today"),
            ("Today", "today"),
            ("last_2_weeks", "last_14_days"),
            ("lastweek", "last_week"),
            ("last7days", "last_7_days"),
        ] {
            let found = dates(text, &Calendar::GREGORIAN);
            assert_eq!(found.as_deref(), Some(meant), "{text}");
        }
    }

    #[test]
    fn dates_of_no_known_meaning_suggest_nothing() {
        for text in [
            "last_0_days",
            "last_367_days",
            "last_12_months",
            "last_60_weeks",
            "2026-02-03..2026-02-01",
            "2026-13-01",
            "2026-02-00",
            "01/02/2026",
            "é",
            "",
        ] {
            assert_eq!(dates(text, &Calendar::GREGORIAN), None, "{text}");
        }
    }

    #[test]
    fn names_and_values_of_other_programs_suggest_ours() {
        let known = || ["sites", "dates", "bucket", "time_format"].into_iter();

        assert_eq!(name("start_date", known()), Some("dates"));
        assert_eq!(name("From", known()), Some("dates"));
        assert_eq!(name("granularity", known()), Some("bucket"));
        assert_eq!(name("tz", known()), Some("time_format"));
        assert_eq!(name("site", known()), Some("sites"));
        assert_eq!(name("from", ["sites"].into_iter()), None);
        let word = |parameter, text| word(parameter, text, ["allow", "deny"].into_iter());
        assert_eq!(word("partial", "True"), Some("allow"));
        assert_eq!(word("partial", "Deny"), Some("deny"));
        assert_eq!(word("partial", "x"), None);
    }

    #[test]
    fn words_for_sites_are_told_how_to_be_written() {
        for (text, hint) in [
            (" 751", "; leave out the blanks"),
            ("1;2", "; separate sites by commas"),
            ("ALL", "; did you mean all?"),
            ("T-0412", "; did you mean code:T-0412?"),
            ("region=South", "; did you mean tag:region=South?"),
            (
                "Tyler",
                "; /v1/sites?q=Tyler finds the ids of sites by their names",
            ),
            ("0x1", ""),
            ("\u{0}", ""),
        ] {
            assert_eq!(site(text), hint, "{text}");
        }
    }
}
