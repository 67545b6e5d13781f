//! `[[calendars]]`: their defaults and their faults.

use super::*;
use crate::domain::calendar::WeekStart;
use crate::domain::fiscal::{FiscalCalendar, Pattern, YearEnd, YearEndRule, YearName};

fn calendars(toml: &str) -> Vec<Arc<FiscalCalendar>> {
    Setup::minimal().file(toml).config().http.calendars
}

#[test]
fn the_retail_calendar_is_built_in_and_others_come_beside_it() {
    let none = calendars("");
    let own = calendars(
        "week_start = \"saturday\"\n\
         [[calendars]]\nname = \"like_nrf\"\npattern = \"4-5-4\"\n\
         [[calendars]]\nname = \"uk\"\npattern = \"4-4-5\"\nweek_start = \"monday\"\nyear_end = { month = 12, rule = \"last\" }\n\
         year_name = \"end\"\nextra_week = 9\n\
         [[calendars]]\nname = \"april\"\npattern = \"months\"\nfirst_month = 4\n\
         [[calendars]]\nname = \"july\"\npattern = \"months\"\nfirst_month = 7\nweek_start = \"monday\"",
    );

    let nrf = FiscalCalendar::nrf();
    assert_eq!(none, [Arc::new(nrf.clone())]);
    let [first, like_nrf, uk, april, july] = &own[..] else {
        panic!("{own:?}")
    };
    assert_eq!(**first, nrf);
    let named = FiscalCalendar {
        name: "like_nrf".into(),
        ..nrf
    };
    assert_eq!(**like_nrf, named);
    let expected = FiscalCalendar {
        name: "uk".into(),
        week_start: WeekStart::Monday,
        pattern: Pattern::Weeks {
            weeks: [4, 4, 5],
            year_end: YearEnd {
                month: 12,
                rule: YearEndRule::Last,
            },
            extra_week: 9,
        },
        year_name: YearName::End,
    };
    assert_eq!(**uk, expected);
    assert_eq!(april.pattern, Pattern::Months { first: 4 });
    // Where years consist of months, weeks are those of the Gregorian calendar.
    assert_eq!(april.week_start, WeekStart::Saturday);
    assert_eq!(july.week_start, WeekStart::Monday);
}

#[test]
fn each_fault_of_a_calendar_is_reported() {
    let weeks = "[[calendars]]\nname = \"uk\"\npattern = \"4-4-5\"\n";
    let months = "[[calendars]]\nname = \"uk\"\npattern = \"months\"\n";
    for (toml, expected) in [
        ("calendars = 1".to_owned(), "[[calendars]]"),
        (
            "[[calendars]]\npattern = \"4-4-5\"".into(),
            "calendars[0].name (PITAYA_CALENDARS): is missing",
        ),
        (
            "[[calendars]]\nname = \"uk\"".into(),
            "calendars[0].pattern (PITAYA_CALENDARS): is missing: 4-5-4, 4-4-5, 5-4-4 or months",
        ),
        (
            weeks.replace("4-4-5", "4-4-4"),
            "\"4-4-4\" is not one of 4-5-4, 4-4-5, 5-4-4, months",
        ),
        (weeks.replace("uk", "UK"), "a word of a-z"),
        (weeks.replace("uk", ""), "a word of a-z"),
        (weeks.replace("uk", "4-4-5"), "begins with a letter"),
        (weeks.replace("uk", "nrf"), "\"nrf\" is the name of another"),
        (weeks.replace("uk", "gregorian"), "built-in"),
        (
            format!("{weeks}{months}first_month = 4"),
            "calendars[1].name",
        ),
        (
            months.to_owned(),
            "first_month (PITAYA_CALENDARS): is missing",
        ),
        (format!("{months}first_month = 0"), "between 1 and 12"),
        (format!("{months}first_month = 13"), "between 1 and 12"),
        (format!("{weeks}first_month = 4"), "year_end says where"),
        (
            format!("{months}first_month = 4\nextra_week = 12"),
            "first_month says where",
        ),
        (
            format!("{months}first_month = 4\nyear_end = {{ month = 1 }}"),
            "calendars[0].year_end.month",
        ),
        (format!("{weeks}year_end = 1"), "write year_end = { … }"),
        (
            format!("{weeks}year_end = {{ month = 13 }}"),
            "between 1 and 12",
        ),
        (
            format!("{weeks}year_end = {{ rule = \"first\" }}"),
            "\"first\" is not one of nearest, last",
        ),
        (
            format!("{weeks}year_end = {{ months = 1 }}"),
            "calendars[0].year_end.months: unknown key; did you mean `year_end.month`",
        ),
        (format!("{weeks}year_name = \"both\""), "one of start, end"),
        (format!("{weeks}extra_week = 0"), "between 1 and 12"),
        (
            format!("{weeks}week_start = \"friday\""),
            "one of monday, sunday, saturday",
        ),
        (
            format!("{weeks}extra = 12"),
            "calendars[0].extra: unknown key",
        ),
    ] {
        let error = error_in(&toml);

        assert!(error.contains(expected), "{toml}\n{error}\n{expected}");
    }
    let several = "[[calendars]]\nname = \"UK\"\nyear_end = { month = 0, rule = \"first\" }\nyear_name = 1\nextra_week = 13\nfirst_month = 0";
    assert_eq!(Setup::minimal().file(several).errors().len(), 7);
}

#[test]
fn warmed_queries_may_name_a_configured_calendar() {
    let own = "[[calendars]]\nname = \"uk\"\npattern = \"4-4-5\"\n";
    let warm = "[warm]\nqueries = [\"sites=750&dates=this_month&metric=entrances&bucket=week&calendar=uk\"]\n";

    let with = Setup::minimal().file(&format!("{own}{warm}")).config();
    let without = error_in(warm);

    assert_eq!(with.http.warm_queries.len(), 1);
    assert!(without.contains("calendar"), "{without}");
}
