//! The opening hours of a site, in the grammar of OpenStreetMap's `opening_hours`.
//!
//! Hours after midnight belong to the date on which they began, so a date's own rules alone decide its hours. [`Expression`] evaluates the
//! hours before midnight and those after it separately, the latter shifted back by a day. A date that is off has neither.

mod expression;
mod holidays;
mod windows;

pub use self::expression::{Expression, InvalidExpression};
pub use self::holidays::{Holidays, country};
pub use self::windows::Windows;

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::Date;

use super::bucket::common_divisor;

/// The hours on dates to which a site's usual opening hours do not apply; `None`: closed.
pub type Exceptions = BTreeMap<Date, Option<Expression>>;

/// The opening hours of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningHours {
    hours: Expression,
    exceptions: Exceptions,
}

impl OpeningHours {
    /// These `hours`, where `PH` means `holidays`; on the dates of `exceptions`, those instead.
    #[must_use]
    pub fn new(hours: Expression, holidays: Option<Holidays>, exceptions: Exceptions) -> Self {
        let with = |hours: Expression| match holidays {
            Some(holidays) => hours.with_holidays(holidays),
            None => hours,
        };
        let exceptions = exceptions.into_iter();
        Self {
            hours: with(hours),
            exceptions: exceptions
                .map(|(date, hours)| (date, hours.map(with)))
                .collect(),
        }
    }

    /// The configured text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.hours.text()
    }

    /// The hours that begin on `date`, ascending, in minutes from its midnight. They may overlap with those of the next date.
    fn begun_on(&self, date: Date) -> Vec<Range<u16>> {
        match self.exceptions.get(&date) {
            Some(None) => Vec::new(),
            Some(Some(hours)) => hours.of(date),
            None => self.hours.of(date),
        }
    }

    /// The greatest common divisor of an hour and all starts and ends, in minutes.
    #[must_use]
    pub fn grid(&self) -> u16 {
        let exceptions = self.exceptions.values().flatten();
        let grids = exceptions.map(|hours| hours.grid);
        grids.fold(self.hours.grid, common_divisor)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use crate::domain::dates::{DateRange, add_days};

    use super::*;
    use crate::domain::bucket::DAY_MINUTES;
    use crate::domain::lifetime::Lifetime;

    fn hours(text: &str) -> OpeningHours {
        OpeningHours::new(text.parse().unwrap(), country("US"), Exceptions::new())
    }

    /// The hours that begin on a day of 2026, as written.
    fn on(hours: &OpeningHours, month: i8, day: i8) -> String {
        let dates = DateRange::day(date(2026, month, day)).unwrap();
        let windows = Windows::new(Some(hours), Lifetime::UNKNOWN, dates.iter());
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let shown = windows.of(0).iter();
        let shown = shown.map(|hours| format!("{}-{}", clock(hours.start), clock(hours.end)));
        shown.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn weekdays_holidays_and_breaks_are_evaluated_by_date() {
        let shop = hours("Mo-Fr 09:00-12:30,13:30-21:00; Sa 09:00-21:00; Su 11:00-18:00; PH off");

        assert_eq!(on(&shop, 11, 25), "09:00-12:30,13:30-21:00");
        assert_eq!(on(&shop, 11, 26), "", "Thanksgiving");
        assert_eq!(on(&shop, 11, 28), "09:00-21:00");
        assert_eq!(on(&shop, 11, 29), "11:00-18:00");
        assert_eq!(shop.grid(), 30);
        assert_eq!(on(&hours("24/7"), 2, 18), "00:00-24:00");
        assert_eq!(on(&hours("off"), 2, 18), "");
        assert_eq!(hours("Mo 09:05-17:00").grid(), 5);
    }

    #[test]
    fn hours_past_midnight_belong_to_the_date_on_which_they_began() {
        let bar = hours("Mo-Th 18:00-01:00; Fr-Sa 18:00-03:00; Su off; PH off");

        // 2026-11-27 is a Friday, after Thanksgiving.
        assert_eq!(on(&bar, 11, 25), "18:00-25:00");
        assert_eq!(on(&bar, 11, 26), "", "a holiday has no late hours either");
        assert_eq!(on(&bar, 11, 27), "18:00-27:00");
        assert_eq!(on(&bar, 11, 29), "");
        // A rule replaces another one wholly.
        assert_eq!(
            on(&hours("Mo-Su 18:00-02:00; We 09:00-17:00"), 11, 25),
            "09:00-17:00"
        );
        // Hours that the evening before runs into.
        assert_eq!(
            on(&hours("Mo-Su 20:00-08:00, Mo-Su 06:00-12:00"), 11, 25),
            "08:00-12:00,20:00-32:00"
        );
        assert_eq!(on(&hours("Mo-Su 00:00-24:00"), 11, 25), "00:00-24:00");
    }

    #[test]
    fn hours_that_overlap_are_those_of_all() {
        for (text, hours) in [
            ("Mo-Fr 09:00-18:00,12:00-14:00", "09:00-18:00"),
            ("Mo-Fr 12:00-14:00,09:00-18:00", "09:00-18:00"),
            ("Mo-Fr 18:00-26:00,20:00-25:00", "18:00-26:00"),
            ("Mo-Fr 00:00-24:00,22:00-26:00", "00:00-26:00"),
            (
                "Mo-Fr 09:00-12:00,12:00-15:00,16:00-17:00",
                "09:00-15:00,16:00-17:00",
            ),
            ("Mo-Su 20:00-26:00; We 00:00-12:00,12:00-24:00 off", ""),
        ] {
            // A Wednesday, after a Tuesday without late hours.
            let exceptions = Exceptions::from([(date(2026, 11, 24), None)]);
            let shop = OpeningHours::new(text.parse().unwrap(), None, exceptions);

            assert_eq!(on(&shop, 11, 25), hours, "{text}");
        }
    }

    #[test]
    fn a_rule_may_name_the_days_around_a_holiday() {
        // Thanksgiving is on November 26, Christmas on a Friday.
        for (text, eve, day, after) in [
            (
                "Mo-Su 09:00-21:00; PH +1 day 06:00-23:00",
                "09:00-21:00",
                "09:00-21:00",
                "06:00-23:00",
            ),
            (
                "Mo-Su 09:00-21:00; PH -1 day off; PH off",
                "",
                "",
                "09:00-21:00",
            ),
            ("Mo-Su 09:00-21:00; PH,PH +1 day off", "09:00-21:00", "", ""),
            (
                "Mo-Su 18:00-02:00; PH +1 days 18:00-04:00",
                "18:00-26:00",
                "18:00-26:00",
                "18:00-28:00",
            ),
        ] {
            let shop = hours(text);

            assert!(shop.hours.has_holidays(), "{text}");
            let shown = [25, 26, 27].map(|day| on(&shop, 11, day));
            assert_eq!(shown, [eve, day, after], "{text}");
        }
        assert_eq!(
            on(&hours("PH +2 days,PH +12 days 10:00-11:00"), 12, 27),
            "10:00-11:00"
        );
        assert_eq!(
            on(&hours("PH +2 days,PH +12 days 10:00-11:00"), 12, 8),
            "10:00-11:00"
        );
    }

    proptest! {
        #[test]
        fn the_hours_of_a_rule_are_the_minutes_of_its_spans(
            spans in prop::collection::vec((0_u16..288, 1_u16..=288), 1..6),
        ) {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let mut open = vec![false; 2 * usize::from(DAY_MINUTES)];
            let mut written = Vec::new();
            for (start, length) in spans {
                let (start, end) = (5 * start, 5 * (start + length));
                written.push(format!("{}-{}", clock(start), clock(end)));
                open[start.into()..end.into()].fill(true);
            }
            let expression: Expression = format!("Mo-Su {}", written.join(",")).parse().unwrap();

            let hours = expression.of(date(2026, 11, 25));

            let mut found = vec![false; open.len()];
            for hours in &hours {
                found[hours.start.into()..hours.end.into()].fill(true);
            }
            prop_assert_eq!(found, open, "{:?}", written);
            prop_assert!(hours.is_sorted_by(|one, next| one.end < next.start), "{:?}", hours);
        }

        #[test]
        fn what_a_weekday_decides_is_what_the_evaluator_says(
            rules in prop::collection::vec(
                prop::sample::select(&[
                    "Mo-Fr 09:00-12:30,13:30-21:00", "Sa-Mo 18:00-02:00", "Su off", "24/7", "PH off", "PH 10:00-14:00",
                    "PH -1 day 09:00-12:00", "PH,PH +2 days off", "Su,PH 11:00-17:00", "Dec 24 09:00-12:00", "week 10-20 Tu 06:00-09:00",
                    "Mo[1] off", "We[-1] 10:00-11:00", "2026 Jul off", "Mar-Oct 08:00-22:00", "Th +1 day 10:00-12:00",
                ][..]),
                1..4,
            ),
            holidays in prop::option::of(prop::sample::select(&["US", "DE", "JP"][..])),
            days in prop::collection::vec(0..25_000, 40),
        ) {
            let parsed: Result<Expression, _> = rules.join("; ").parse();
            prop_assume!(parsed.is_ok());
            let expression = parsed.unwrap();
            let expression = match holidays {
                Some(code) => expression.with_holidays(country(code).unwrap()),
                None => expression,
            };

            for day in days {
                let date = add_days(date(1970, 1, 1), day);
                prop_assert_eq!(expression.of(date), expression.evaluate(date), "{}", date);
            }
        }

        #[test]
        fn the_windows_of_a_range_are_those_of_each_date(from in 0..40, days in 1..20, gap in 0..4) {
            let shop = hours("Mo-Th 18:00-01:00; Fr-Su 06:00-12:00,20:00-08:00; PH off; Nov 28 off");
            let from = add_days(date(2026, 11, 1), from);
            let day = |nth| add_days(from, nth + if nth > 5 { gap } else { 0 });

            let windows = Windows::new(Some(&shop), Lifetime::UNKNOWN, (0..days).map(day));

            for (nth, index) in (0..days).zip(0..) {
                let one = Windows::new(Some(&shop), Lifetime::UNKNOWN, std::iter::once(day(nth)));
                prop_assert_eq!(windows.of(index), one.of(0));
                prop_assert_eq!(windows.before(index), one.before(0));
            }
        }
    }

    #[test]
    fn an_exception_replaces_the_hours_of_its_date() {
        let exceptions = Exceptions::from([
            (date(2026, 11, 27), Some("06:00-25:00".parse().unwrap())),
            (date(2026, 12, 25), None),
        ]);
        let shop = OpeningHours::new("Mo-Su 09:00-21:00".parse().unwrap(), None, exceptions);

        assert_eq!(on(&shop, 11, 26), "09:00-21:00");
        assert_eq!(on(&shop, 11, 27), "06:00-25:00");
        assert_eq!(on(&shop, 12, 25), "");
        assert_eq!(on(&shop, 12, 26), "09:00-21:00");
    }

    #[test]
    fn hours_that_nobody_can_tell_are_refused() {
        for (text, part) in [
            ("", "grammar"),
            ("from nine to five", "grammar"),
            ("Mo-Fr 25:00-26:00", ""),
            ("Mo-Fr 09:03-17:00", "09:03"),
            ("Mo-Fr 09:00-17:59", "17:59"),
            ("sunrise-sunset", "sun"),
            ("Mo-Fr 17:00+", "open end"),
            ("Mo-Fr 09:00-17:00 unknown", "may be open"),
            ("Mo-Fr 09:00-17:00 \"by appointment\"", "may be open"),
            ("SH 09:00-17:00", "SH"),
            ("Mo-Fr 22:00-02:00 || 10:00-12:00", "fallback"),
            ("Mo-Su 18:00-04:00; We 01:00-02:00 off", "part of a day"),
        ] {
            let refused = text.parse::<Expression>().map(|_| ()).expect_err(text);

            assert!(refused.to_string().contains(part), "{text}: {refused}");
        }
    }
}
