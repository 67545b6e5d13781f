//! How long a cell stays fresh, as a pure function of its day, its site's zone, its fetch time and the current time.
//!
//! A cell fetched before its day was over lacks the end of the day, even if the day is final now. Jitter (up to 10 % shorter) is drawn for
//! each date of each report: the cells of one date are refetched together, in one report, while other dates and reports are refetched at
//! other times.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::local_day::DaySpan;

/// TTLs of figures, by how likely they are to change. The configuration's `[cache]` table documents each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// TTL of a day that is not over.
    pub open_ttl: Duration,
    /// TTL of a day that ended less than `settle_after` ago.
    pub settling_ttl: Duration,
    /// Time after a day's end during which late data may still arrive.
    pub settle_after: Duration,
    /// TTL of an older day.
    pub final_ttl: Duration,
    /// A figure past its TTL by less than this is served at once and refreshed in the background.
    pub stale_while_revalidate: Duration,
    /// A figure past its TTL by less than this is served when the vendor fails.
    pub stale_if_error: Duration,
}

/// Maturity of a day's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The day has not begun: there is nothing to fetch.
    Future,
    /// The day is not over.
    Open,
    /// The day is over, but late data may still arrive.
    Settling,
    /// The figures should no longer change.
    Final,
}

/// Permitted use of a cached cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Within its TTL.
    Fresh,
    /// Served at once, and refreshed in the background.
    Revalidate,
    /// Served only if the vendor fails.
    IfError,
    /// Not served at all.
    Expired,
}

impl Standing {
    /// The permitted use by a caller that wants no figure from before `since` unless it is final: an older one serves only if the vendor
    /// fails.
    #[must_use]
    pub fn not_before(
        self,
        since: Option<Timestamp>,
        fetched_at: Timestamp,
        is_final: impl FnOnce() -> bool,
    ) -> Self {
        match since {
            Some(since) if fetched_at < since && !is_final() => self.max(Self::IfError),
            _ => self,
        }
    }
}

/// The age up to which a caller accepts a figure that is not final: at least 15 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxAge(Duration);

impl MaxAge {
    /// The shortest; with a shorter one, a caller could cause a call of the vendor with each request.
    const LEAST: Duration = Duration::from_secs(15);
    /// Above any TTL, and low enough that no arithmetic on times overflows.
    const MOST: Duration = Duration::from_hours(3650 * 24);

    /// The time before which a figure is too old at `now`.
    ///
    /// # Panics
    ///
    /// Never: it is ten years at most.
    #[must_use]
    pub fn since(self, now: Timestamp) -> Timestamp {
        now - SignedDuration::try_from(self.0).expect("ten years at most")
    }

    /// The time from which a figure of `fetched_at` is too old.
    pub(crate) fn until(self, fetched_at: Timestamp) -> Timestamp {
        later(fetched_at, self.0)
    }
}

impl FromStr for MaxAge {
    type Err = InvalidMaxAge;

    fn from_str(text: &str) -> Result<Self, InvalidMaxAge> {
        let unit = text.chars().next_back().ok_or(InvalidMaxAge)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(InvalidMaxAge),
        };
        let number = &text[..text.len() - 1];
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u64> = number.parse().ok().filter(|_| is_number);
        let seconds = number.and_then(|number| number.checked_mul(seconds));
        let age = Duration::from_secs(seconds.ok_or(InvalidMaxAge)?);
        let is_valid = (Self::LEAST..=Self::MOST).contains(&age) && !text.starts_with('0');
        is_valid.then_some(Self(age)).ok_or(InvalidMaxAge)
    }
}

/// The text is not an age that a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an age is a whole number of seconds, minutes, hours or days, from 15s to 3650d")]
pub struct InvalidMaxAge;

impl Policy {
    /// Maturity of a day's figures at `at`.
    #[must_use]
    pub fn phase(&self, day: DaySpan, at: Timestamp) -> Phase {
        if at < day.begins {
            Phase::Future
        } else if at < day.ends {
            Phase::Open
        } else if at < later(day.ends, self.settle_after) {
            Phase::Settling
        } else {
            Phase::Final
        }
    }

    /// Time at which a cell of `date`, requested at `fetched_at`, passes its TTL; `phase` is that of its day at `fetched_at`.
    ///
    /// The phase at the time of the *request* determines the TTL: a cell fetched before its day was over lacks the end of the day, even if
    /// the day is final now. Jitter shortens the TTL by up to 10 %, equally for the cells of one date in one report: these are refetched
    /// together, other dates and reports at other times.
    #[must_use]
    pub fn expires_at(&self, date: Date, phase: Phase, fetched_at: Timestamp) -> Timestamp {
        let ttl = match phase {
            Phase::Future | Phase::Open => self.open_ttl,
            Phase::Settling => self.settling_ttl,
            Phase::Final => self.final_ttl,
        };
        later(fetched_at, ttl.mul_f64(jitter(date, fetched_at)))
    }

    /// Permitted use at `now` of a cell that was requested at `fetched_at` and passes its TTL at `expires_at`.
    ///
    /// A cell from the future was requested under a wrong clock: its age is unknown, and so is whether its day was over.
    #[must_use]
    pub fn standing(
        &self,
        fetched_at: Timestamp,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Standing {
        if now < fetched_at {
            Standing::Expired
        } else if now < expires_at {
            Standing::Fresh
        } else if now < later(expires_at, self.stale_while_revalidate) {
            Standing::Revalidate
        } else if now < later(expires_at, self.stale_if_error) {
            Standing::IfError
        } else {
            Standing::Expired
        }
    }

    /// Time since the fetch after which no cell may be used for anything.
    #[must_use]
    pub fn longest_use(&self) -> Duration {
        let ttl = self.open_ttl.max(self.settling_ttl).max(self.final_ttl);
        ttl + self.stale_while_revalidate.max(self.stale_if_error)
    }
}

/// `at` moved by `duration`.
fn later(at: Timestamp, duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).expect("ten years at most");
    at.checked_add(duration)
        .expect("dates asked for, and so their days' ends, are a year from the end of time")
}

/// 0.9 to 1, evenly spread, the same for the same arguments.
fn jitter(date: Date, fetched_at: Timestamp) -> f64 {
    let days = i64::from(date.year()) * 512 + i64::from(date.day_of_year());
    // SplitMix64's finalizer: every bit of the input moves every bit of the output.
    let mut bits =
        fetched_at.as_microsecond().cast_unsigned() ^ days.cast_unsigned().rotate_left(40);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let thousandths = u32::try_from(bits % 101).expect("at most 100");
    0.9 + f64::from(thousandths) / 1000.0
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy {
        open_ttl: Duration::from_mins(1),
        settling_ttl: Duration::from_mins(15),
        settle_after: Duration::from_hours(48),
        final_ttl: Duration::from_hours(30 * 24),
        stale_while_revalidate: Duration::from_mins(5),
        stale_if_error: Duration::from_hours(24),
    };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_opens_settles_and_becomes_final() {
        let day = DaySpan::of(date(2026, 2, 18), None);

        assert_eq!(POLICY.phase(day, at("2026-02-17T09:59:59Z")), Phase::Future);
        assert_eq!(POLICY.phase(day, at("2026-02-17T10:00:00Z")), Phase::Open);
        assert_eq!(
            POLICY.phase(day, at("2026-02-19T12:00:00Z")),
            Phase::Settling
        );
        assert_eq!(POLICY.phase(day, at("2026-02-21T12:00:00Z")), Phase::Final);
    }

    #[test]
    fn cells_fetched_before_the_day_was_over_stay_short_lived() {
        let day = DaySpan::of(date(2026, 2, 18), None);
        let fetched = at("2026-02-19T11:59:59Z");

        let expires = POLICY.expires_at(date(2026, 2, 18), POLICY.phase(day, fetched), fetched);

        let standing = |now| POLICY.standing(fetched, expires, at(now));
        assert!(expires <= fetched + SignedDuration::from_secs(60));
        assert_eq!(standing("2026-02-19T12:03:00Z"), Standing::Revalidate);
        assert_eq!(standing("2026-02-19T12:30:00Z"), Standing::IfError);
        assert_eq!(standing("2026-02-20T13:00:00Z"), Standing::Expired);
        assert_eq!(standing("2026-02-19T11:59:59Z"), Standing::Fresh);
        assert_eq!(standing("2026-02-19T11:59:58Z"), Standing::Expired);
    }

    proptest! {
        #[test]
        fn a_clock_that_steps_never_stretches_a_ttl(
            zone in prop::option::of(Just("America/Chicago")),
            fetched in -200_i64..200,
            now in -200_i64..200,
            second in 0_i64..3600,
        ) {
            let zone = zone.map(|name| jiff::tz::TimeZone::get(name).unwrap());
            let day = DaySpan::of(date(2026, 2, 18), zone.as_ref());
            let hours = |hours| at("2026-02-18T12:00:00Z") + SignedDuration::from_hours(hours);
            let (fetched, now) = (hours(fetched), hours(now) + SignedDuration::from_secs(second));

            let expires = POLICY.expires_at(date(2026, 2, 18), POLICY.phase(day, fetched), fetched);
            let standing = POLICY.standing(fetched, expires, now);

            let ttl = match POLICY.phase(day, fetched) {
                Phase::Future | Phase::Open => POLICY.open_ttl,
                Phase::Settling => POLICY.settling_ttl,
                Phase::Final => POLICY.final_ttl,
            };
            let age = Duration::try_from(now.duration_since(fetched));
            prop_assert_eq!(standing == Standing::Fresh, age.is_ok() && now < expires);
            if let Ok(age) = age {
                prop_assert!(standing != Standing::Fresh || age < ttl);
            } else {
                prop_assert_eq!(standing, Standing::Expired);
            }
            prop_assert!(expires.duration_since(fetched) <= SignedDuration::try_from(ttl).unwrap());
        }

        #[test]
        fn jitter_shortens_by_ten_percent_at_most_and_spreads(micros in 0_i64..4_000_000_000_000_000, day in 1_i8..=28) {
            let fetched = Timestamp::from_microsecond(micros).unwrap();

            let factors: Vec<f64> = (0..31).map(|back| jitter(date(2026, 3, day).saturating_sub(jiff::Span::new().days(back)), fetched)).collect();

            prop_assert!(factors.iter().all(|factor| (0.9..=1.0).contains(factor)));
            let distinct: std::collections::BTreeSet<u64> = factors.iter().map(|factor| factor.to_bits()).collect();
            prop_assert!(distinct.len() > 15);
        }
    }
}
