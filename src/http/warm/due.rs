//! When a query of `warm.queries` is due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::openings::Openings;

/// How long a look-up of the next opening holds: less than the days that it looks ahead, so that no opening is missed.
const LOOK_UP: SignedDuration = SignedDuration::from_hours(24);

/// When a query was warmed, and when it is due again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// When it was last warmed.
    warmed: Timestamp,
    /// The end of the validity of its dates, or the time of another try.
    until: Timestamp,
    /// The last time at which it was not due.
    seen: Timestamp,
    /// The next time ahead of an opening.
    ahead: Option<Timestamp>,
    /// When `ahead` was found.
    found: Timestamp,
}

impl Due {
    /// A query that is warmed at `now`, and due again at `until`.
    pub(super) const fn warmed(now: Timestamp, until: Timestamp) -> Self {
        Self {
            warmed: now,
            until,
            seen: now,
            ahead: None,
            found: now,
        }
    }

    /// Looks up the next opening, and when the query is due ahead of it.
    pub(super) fn look_up(&mut self, openings: Option<(Openings<'_>, Duration)>, now: Timestamp) {
        // Begins where the query was last seen, so that a time that has passed since is not missed.
        let seen = self.seen.min(now);
        self.found = now;
        self.ahead = openings.and_then(|(openings, before)| {
            let before = SignedDuration::try_from(before).ok()?;
            let mut after = seen;
            loop {
                let opening = openings.next(after.checked_add(before).ok()?);
                if let Some(opening) = opening {
                    return opening.checked_sub(before).ok();
                }
                // The process may have slept for longer than a look-up looks ahead.
                if after == now {
                    return None;
                }
                after = after.checked_add(LOOK_UP).ok()?.min(now);
            }
        });
    }

    /// Whether the next opening must be looked up again.
    pub(super) fn is_outdated(self, now: Timestamp) -> bool {
        now < self.found || now.duration_since(self.found) >= LOOK_UP
    }

    /// Whether it is due at `now`, which may be earlier than when it was warmed if the clock was set back.
    pub(super) fn is_over(&mut self, now: Timestamp) -> bool {
        let is_over =
            now < self.warmed || self.until <= now || self.ahead.is_some_and(|at| at <= now);
        if !is_over {
            self.seen = now;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::directory::{SiteDirectory, SiteEntry};
    use crate::domain::opening::{Exceptions, OpeningHours};
    use crate::domain::site::{CustomerId, SiteId};

    const HALF_AN_HOUR: Duration = Duration::from_mins(30);

    /// Two sites that open at 09:00, and one that opens at 10:00, in Chicago; 09:00 is 14:00 UTC in summer.
    fn directory() -> SiteDirectory {
        let mut directory = SiteDirectory::new(TimeZone::get("America/Chicago").ok());
        for (id, hours) in [
            (1, "Mo-Sa 09:00-21:00"),
            (2, "Mo-Sa 09:00-20:00"),
            (3, "Mo-Fr 10:00-18:00"),
        ] {
            let hours = OpeningHours::new(hours.parse().unwrap(), None, Exceptions::new());
            let entry = SiteEntry {
                hours: Some(Arc::new(hours)),
                ..SiteEntry::default()
            };
            let (customer, site) = (CustomerId::new(1).unwrap(), SiteId::new(id).unwrap());
            directory.insert(customer, site, entry).unwrap();
        }
        directory
    }

    fn openings(directory: &SiteDirectory) -> Openings<'_> {
        let sites = [1, 2, 3].map(|id| SiteId::new(id).unwrap());
        Openings::of(directory, CustomerId::new(1).unwrap(), &sites)
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The times at which a query is warmed, of a warmer that looks at it at these times, and whose dates never change.
    fn runs(looks: impl IntoIterator<Item = Timestamp>) -> Vec<String> {
        let directory = directory();
        let again = |now| {
            let mut due = Due::warmed(now, Timestamp::MAX);
            due.look_up(Some((openings(&directory), HALF_AN_HOUR)), now);
            due
        };
        let mut looks = looks.into_iter();
        let mut due = again(looks.next().unwrap());
        let mut runs = Vec::new();
        for now in looks {
            if due.is_outdated(now) {
                due.look_up(Some((openings(&directory), HALF_AN_HOUR)), now);
            }
            if due.is_over(now) {
                runs.push(now.to_string());
                due = again(now);
            }
        }
        runs
    }

    #[test]
    fn a_query_is_due_once_before_each_moment_at_which_sites_open() {
        // A Friday.
        let start = time("2026-06-05T00:00:00Z");
        let minutes = (0..4 * 24 * 60).map(|minute| start + SignedDuration::from_mins(minute));

        assert_eq!(
            runs(minutes),
            [
                "2026-06-05T13:30:00Z",
                "2026-06-05T14:30:00Z",
                "2026-06-06T13:30:00Z",
                "2026-06-08T13:30:00Z",
                "2026-06-08T14:30:00Z",
            ]
        );
    }

    #[test]
    fn a_warmer_that_was_busy_makes_up_for_the_times_that_it_missed_by_one_run() {
        let looks = [
            "2026-06-02T13:29:59Z",
            "2026-06-02T19:00:00Z",
            "2026-06-02T19:00:01Z",
            // Later than a look-up holds.
            "2026-06-04T13:29:00Z",
            "2026-06-04T13:29:01Z",
            "2026-06-04T13:30:00Z",
            // From a Friday's closing over days on which nobody opens.
            "2026-07-03T23:00:00Z",
            "2026-07-06T13:30:00Z",
        ];

        assert_eq!(
            runs(looks.map(time)),
            [
                "2026-06-02T19:00:00Z",
                "2026-06-04T13:29:00Z",
                "2026-06-04T13:30:00Z",
                "2026-07-03T23:00:00Z",
                "2026-07-06T13:30:00Z",
            ]
        );
    }

    #[test]
    fn a_clock_that_is_set_back_makes_it_due_and_loses_no_opening() {
        let looks = [
            "2026-06-09T00:00:00Z",
            "2026-06-02T13:00:00Z",
            "2026-06-02T13:29:59Z",
            "2026-06-02T13:30:00Z",
        ];

        assert_eq!(
            runs(looks.map(time)),
            ["2026-06-02T13:00:00Z", "2026-06-02T13:30:00Z"]
        );
    }

    #[test]
    fn a_look_up_between_two_looks_misses_no_opening_and_ends_those_that_no_longer_count() {
        let directory = directory();
        let mut due = Due::warmed(time("2026-06-02T13:00:00Z"), Timestamp::MAX);
        assert!(!due.is_over(time("2026-06-02T13:29:59Z")));
        let now = time("2026-06-02T13:30:01Z");

        due.look_up(Some((openings(&directory), HALF_AN_HOUR)), now);
        assert!(due.is_over(now));
        due.look_up(None, now);

        assert!(!due.is_over(now));
    }
}
