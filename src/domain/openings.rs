//! The moments at which sites open.
//!
//! A site opens when its clock first reaches the beginning of its hours. If the clock skips that time, the site opens when the clock has
//! skipped it; if the clock shows it twice, the site opens once. Hours that continue others without a pause open nothing.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::dates::{add_days, clock};
use super::directory::SiteDirectory;
use super::lifetime::Lifetime;
use super::opening::{OpeningHours, Windows};
use super::site::{CustomerId, SiteId};

/// The distinct opening hours of some sites, each on its own clock.
#[derive(Debug)]
pub struct Openings<'a>(Vec<Place<'a>>);

/// Opening hours on the clock of a zone.
#[derive(Debug)]
struct Place<'a> {
    hours: &'a OpeningHours,
    zone: &'a TimeZone,
    lifetime: Lifetime,
}

impl<'a> Openings<'a> {
    /// The days after today on which [`next`](Self::next) finds an opening.
    pub const DAYS_AHEAD: i32 = 3;

    /// Those of `sites`. A site whose hours or zone are not known opens at no known time, so it is left out.
    #[must_use]
    pub fn of(directory: &'a SiteDirectory, customer: CustomerId, sites: &[SiteId]) -> Self {
        let mut seen = HashSet::new();
        let places = sites.iter().filter_map(|site| {
            let hours = directory.hours(customer, *site)?;
            let zone = directory.zone(customer, *site)?;
            let lifetime = directory.lifetime(customer, *site);
            // Most sites share their hours.
            let is_new = seen.insert((Arc::as_ptr(hours), zone.iana_name(), lifetime));
            is_new.then_some(Place {
                hours,
                zone,
                lifetime,
            })
        });
        Self(places.collect())
    }

    /// Whether the times at which the sites open are not known of any of them.
    #[must_use]
    pub const fn are_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// The first moment after `after` at which one of the sites opens, if one opens today or on the next
    /// [`DAYS_AHEAD`](Self::DAYS_AHEAD).
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|place| place.next(after)).min()
    }
}

impl Place<'_> {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(after).date();
        // Hours past midnight are those of the day before, and may continue those of the day before that.
        let dates: Vec<Date> = (-2..=Openings::DAYS_AHEAD)
            .map(|days| add_days(today, days))
            .collect();
        let windows = Windows::new(Some(self.hours), self.lifetime, dates.iter().copied());
        let mut open_until = None;
        for (index, date) in dates.into_iter().enumerate() {
            for hours in windows.of(index) {
                let opens = moment(date, hours.start, self.zone)?;
                let closes = moment(date, hours.end, self.zone)?;
                if closes <= opens {
                    // The clock skips all of them.
                    continue;
                }
                if opens > after && open_until != Some(opens) {
                    return Some(opens);
                }
                open_until = Some(closes);
            }
        }
        None
    }
}

/// The first instant at which the clock of `zone` has reached that minute of `date`; minutes from 1440 on belong to the next day. `None` at
/// the ends of time.
fn moment(date: Date, minute: u16, zone: &TimeZone) -> Option<Timestamp> {
    let time = zone.to_ambiguous_timestamp(clock(date, minute));
    if let AmbiguousOffset::Gap { .. } = time.offset() {
        let before = time.earlier().ok()?;
        return zone.following(before).next().map(|skip| skip.timestamp());
    }
    time.compatible().ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::{SignedDuration, ToSpan};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::bucket::DAY_MINUTES;
    use crate::domain::directory::SiteEntry;
    use crate::domain::opening::{Exceptions, country};

    fn hours(text: &str) -> Arc<OpeningHours> {
        let exceptions = Exceptions::from([
            (
                date(2026, 3, 7),
                Some("10:00-14:00,20:00-25:00".parse().unwrap()),
            ),
            (date(2026, 11, 2), None),
        ]);
        let hours = OpeningHours::new(text.parse().unwrap(), country("US"), exceptions);
        Arc::new(hours)
    }

    fn directory(sites: impl IntoIterator<Item = SiteEntry>) -> (SiteDirectory, Vec<SiteId>) {
        let mut directory = SiteDirectory::new(None);
        let mut ids = Vec::new();
        for (entry, id) in sites.into_iter().zip(1..) {
            let id = SiteId::new(id).unwrap();
            directory
                .insert(CustomerId::new(1).unwrap(), id, entry)
                .unwrap();
            ids.push(id);
        }
        (directory, ids)
    }

    fn site(zone: &str, text: &str) -> SiteEntry {
        SiteEntry {
            timezone: Some(TimeZone::get(zone).unwrap()),
            hours: Some(hours(text)),
            ..SiteEntry::default()
        }
    }

    /// The next opening of these sites after a time; nothing if there is none.
    fn next<const N: usize>(sites: [SiteEntry; N], after: &str) -> String {
        let (directory, ids) = directory(sites);
        let openings = Openings::of(&directory, CustomerId::new(1).unwrap(), &ids);
        let next = openings.next(after.parse().unwrap());
        next.map_or_else(String::new, |next| next.to_string())
    }

    #[test]
    fn a_site_opens_by_the_clock_of_its_place() {
        let shop = || site("America/Chicago", "Mo-Sa 09:00-12:00,13:00-21:00; PH off");
        for (after, opens) in [
            ("2026-11-27T14:59:59Z", "2026-11-27T15:00:00Z"),
            // After the break.
            ("2026-11-27T15:00:00Z", "2026-11-27T19:00:00Z"),
            ("2026-11-27T19:00:00Z", "2026-11-28T15:00:00Z"),
            // Over Sunday.
            ("2026-11-28T19:00:00Z", "2026-11-30T15:00:00Z"),
            // Over a holiday.
            ("2026-11-25T19:00:00Z", "2026-11-27T15:00:00Z"),
            // Exceptions: other hours, and over a closed Monday.
            ("2026-03-06T23:00:00Z", "2026-03-07T16:00:00Z"),
            ("2026-10-31T23:00:00Z", "2026-11-03T15:00:00Z"),
        ] {
            assert_eq!(next([shop()], after), opens, "{after}");
        }
    }

    #[test]
    fn the_first_of_several_sites_counts() {
        let sites = [
            site("America/Los_Angeles", "Mo-Su 06:00-21:00"),
            site("America/Chicago", "Mo-Su 09:00-21:00"),
            site("America/New_York", "Mo-Su 09:30-21:00"),
        ];
        assert_eq!(next(sites, "2026-11-27T13:00:00Z"), "2026-11-27T14:00:00Z");
    }

    #[test]
    fn nights_on_which_the_clocks_change_open_a_site_once() {
        for (zone, text, after, opens) in [
            // 02:00 becomes 03:00.
            (
                "America/Chicago",
                "Mo-Su 02:30-20:00",
                "2026-03-08T06:00:00Z",
                "2026-03-08T08:00:00Z",
            ),
            (
                "America/Chicago",
                "Mo-Su 09:00-20:00",
                "2026-03-08T06:00:00Z",
                "2026-03-08T14:00:00Z",
            ),
            // The hours that the clock skips are none.
            (
                "America/Chicago",
                "Mo-Su 02:15-02:45",
                "2026-03-08T06:00:00Z",
                "2026-03-09T07:15:00Z",
            ),
            // 02:00 becomes 01:00.
            (
                "America/Chicago",
                "Mo-Su 01:30-20:00",
                "2026-11-01T05:00:00Z",
                "2026-11-01T06:30:00Z",
            ),
            (
                "America/Chicago",
                "Mo-Su 01:30-20:00",
                "2026-11-01T06:30:00Z",
                "2026-11-03T07:30:00Z",
            ),
            // Midnight becomes 01:00.
            (
                "America/Santiago",
                "Mo-Su 00:00-20:00",
                "2026-09-06T03:00:00Z",
                "2026-09-06T04:00:00Z",
            ),
        ] {
            assert_eq!(next([site(zone, text)], after), opens, "{zone} {text}");
        }
    }

    #[test]
    fn sites_that_never_open_have_no_next_opening() {
        let closed = |opened, closed| SiteEntry {
            opened,
            closed,
            ..site("America/Chicago", "Mo-Su 09:00-20:00")
        };
        let without_hours = SiteEntry {
            hours: None,
            ..site("America/Chicago", "off")
        };
        let without_zone = SiteEntry {
            timezone: None,
            ..site("America/Chicago", "Mo-Su 09:00-20:00")
        };
        let after = "2026-06-01T20:00:00Z";
        for never in [
            site("America/Chicago", "24/7"),
            site("America/Chicago", "off"),
            site("America/Chicago", "Mo-Su 20:00-08:00,08:00-20:00"),
            closed(None, Some(date(2026, 6, 2))),
            without_hours,
            without_zone,
        ] {
            assert_eq!(next([never], after), "");
        }
        assert_eq!(
            next([closed(Some(date(2026, 6, 4)), None)], after),
            "2026-06-04T14:00:00Z"
        );
    }

    /// The openings as a clock shows them that is looked at each minute, and that is never set back.
    fn seen_on_the_clock(
        hours: &OpeningHours,
        zone: &TimeZone,
        after: Timestamp,
    ) -> Option<Timestamp> {
        let minutes = |days: i64| SignedDuration::from_hours(24 * days).as_mins();
        let mut shown = zone.to_datetime(after - 48.hours());
        let mut was_open = true;
        for minute in minutes(-2) + 1..minutes(2) {
            let at = after + SignedDuration::from_mins(minute);
            shown = shown.max(zone.to_datetime(at));
            let date = shown.date();
            let windows = Windows::new(Some(hours), Lifetime::UNKNOWN, [date].into_iter());
            let now = u16::from(shown.hour().unsigned_abs()) * 60
                + u16::from(shown.minute().unsigned_abs());
            let is_open = windows.of(0).iter().any(|hours| hours.contains(&now))
                || windows
                    .before(0)
                    .iter()
                    .any(|hours| hours.contains(&(now + DAY_MINUTES)));
            if is_open && !was_open && minute > 0 {
                return Some(at);
            }
            was_open = is_open;
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_next_opening_is_the_one_that_the_clock_shows(
            zone in prop::sample::select(vec!["America/Chicago", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu"]),
            around in prop::sample::select(vec!["2026-03-08T00:00:00Z", "2026-04-04T12:00:00Z", "2026-09-06T00:00:00Z", "2026-10-03T12:00:00Z", "2026-11-01T00:00:00Z"]),
            minutes in -1500_i64..1500,
            spans in prop::collection::vec((0_u16..288, 1_u16..200), 1..4),
        ) {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let spans = spans.into_iter().map(|(start, length)| format!("{}-{}", clock(5 * start), clock(5 * (start + length))));
            let text = format!("Mo-Su {}", spans.collect::<Vec<_>>().join(","));
            let place = site(zone, &text);
            let (hours, zone) = (place.hours.clone().unwrap(), place.timezone.clone().unwrap());
            let after = around.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes);

            let found = next([place], &after.to_string());

            // Within two days, which are all that the clock is looked at.
            let until = after + SignedDuration::from_hours(47);
            let found = found.parse::<Timestamp>().ok().filter(|found| *found < until);
            let shown = seen_on_the_clock(&hours, &zone, after).filter(|shown| *shown < until);
            prop_assert_eq!(found, shown, "{} {}", text, after);
        }
    }
}
