//! Buckets of time: the vendor's, the caller's, and the hours of the day.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Minutes of one day on the clock.
pub const DAY_MINUTES: u16 = 24 * 60;

/// Minutes of one vendor bucket: 5, 10, 15, 30 or 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VendorBucket(u16);

impl VendorBucket {
    /// Every vendor bucket, coarsest first.
    pub const ALL: [Self; 5] = [Self(60), Self(30), Self(15), Self(10), Self(5)];
    /// The coarsest one: an hour.
    pub const HOUR: Self = Self(60);

    /// The bucket of `minutes` minutes, if the vendor has one.
    #[must_use]
    pub fn from_minutes(minutes: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.0 == minutes)
    }

    /// Length in minutes.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }

    /// Number of these buckets in a day on the clock (288 to 24).
    #[must_use]
    pub const fn slots_per_day(self) -> u16 {
        DAY_MINUTES / self.0
    }

    /// The slots of a day that begin in `minutes` (from and to, multiples of the bucket).
    pub(super) fn slots(self, minutes: &Range<u16>) -> Range<usize> {
        usize::from(minutes.start / self.0)..usize::from(minutes.end / self.0)
    }

    /// The slots of a day that lie wholly in `minutes`.
    pub(super) fn whole_slots(self, minutes: &Range<u16>) -> Range<usize> {
        let start = usize::from(minutes.start.div_ceil(self.0));
        start..usize::from(minutes.end / self.0).max(start)
    }

    /// The coarsest vendor bucket up to `limit` that divides `bucket` and the ends of `hours`.
    #[must_use]
    pub fn coarsest(bucket: Bucket, hours: Hours, limit: Self) -> Self {
        let fits = |minutes: u16| {
            bucket.clock_minutes().is_multiple_of(minutes) && hours.grid.is_multiple_of(minutes)
        };
        Self::ALL
            .into_iter()
            .filter(|candidate| *candidate <= limit)
            .find(|candidate| fits(candidate.0))
            .unwrap_or(Self(5))
    }
}

/// A bucket that a caller can request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Equal parts of a day on the clock: 5 to 720 minutes, a divisor of 1440.
    Minutes(u16),
    /// A local day.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
    /// A quarter of a year.
    Quarter,
    /// A year.
    Year,
    /// The whole range.
    Total,
    /// The same part of each day or week, over the whole range.
    Profile(Profile),
}

/// The part of a day or a week that a row of a profile is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// An hour of the day.
    HourOfDay,
    /// A day of the week.
    DayOfWeek,
    /// An hour of the week.
    HourOfWeek,
}

impl Profile {
    /// Whether its rows tell the weekday.
    #[must_use]
    pub const fn has_weekday(self) -> bool {
        matches!(self, Self::DayOfWeek | Self::HourOfWeek)
    }

    /// Whether its rows tell the hour.
    #[must_use]
    pub const fn has_hour(self) -> bool {
        matches!(self, Self::HourOfDay | Self::HourOfWeek)
    }
}

impl Bucket {
    /// An hour: the default.
    pub const HOUR: Self = Self::Minutes(60);

    /// Every accepted form, with its bucket. The last one of each bucket is its name in answers.
    pub const WORDS: [(&'static str, Self); 26] = [
        ("5m", Self::Minutes(5)),
        ("10m", Self::Minutes(10)),
        ("15m", Self::Minutes(15)),
        ("20m", Self::Minutes(20)),
        ("30m", Self::Minutes(30)),
        ("60m", Self::HOUR),
        ("1h", Self::HOUR),
        ("2h", Self::Minutes(120)),
        ("3h", Self::Minutes(180)),
        ("4h", Self::Minutes(240)),
        ("6h", Self::Minutes(360)),
        ("8h", Self::Minutes(480)),
        ("12h", Self::Minutes(720)),
        ("24h", Self::Day),
        ("1d", Self::Day),
        ("1w", Self::Week),
        ("hour", Self::HOUR),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
        ("total", Self::Total),
        ("hour_of_day", Self::Profile(Profile::HourOfDay)),
        ("day_of_week", Self::Profile(Profile::DayOfWeek)),
        ("hour_of_week", Self::Profile(Profile::HourOfWeek)),
    ];

    /// Length in minutes of the clock. Longer buckets consist of whole days, so they return a day.
    #[must_use]
    pub const fn clock_minutes(self) -> u16 {
        match self.occurrence() {
            Self::Minutes(minutes) => minutes,
            _ => DAY_MINUTES,
        }
    }

    /// The bucket of one occurrence of a profile's part; other buckets are their own.
    #[must_use]
    pub const fn occurrence(self) -> Self {
        match self {
            Self::Profile(profile) if profile.has_hour() => Self::HOUR,
            Self::Profile(_) => Self::Day,
            bucket => bucket,
        }
    }
}

impl FromStr for Bucket {
    type Err = InvalidBucket;

    fn from_str(text: &str) -> Result<Self, InvalidBucket> {
        let mut words = Self::WORDS.into_iter();
        let known = words.find(|(word, _)| *word == text);
        known.map(|(_, bucket)| bucket).ok_or(InvalidBucket)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::WORDS.iter().rev().find(|(_, bucket)| bucket == self);
        f.write_str(known.expect("each bucket has a word").0)
    }
}

/// The text is not a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bucket is one of {}", Bucket::WORDS.map(|(word, _)| word).join(", "))]
pub struct InvalidBucket;

/// A window of the local day, in minutes after midnight on the clock: `from < to ≤ 2880`, both multiples of 5. Minutes from 1440 on belong
/// to the next day, and there are never more than a day of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    from: u16,
    to: u16,
    /// The largest number of minutes, up to an hour, of which every end is a multiple.
    grid: u16,
    kind: HoursKind,
}

/// The source of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HoursKind {
    /// No window is given: the whole day counts.
    Day,
    /// The caller's window.
    Clock,
    /// Each site's opening hours, all of which lie in the window.
    Open,
}

impl Hours {
    /// The whole day, without a window.
    pub const ALL_DAY: Self = Self {
        from: 0,
        to: DAY_MINUTES,
        grid: 60,
        kind: HoursKind::Day,
    };

    /// Each site's opening hours, until these are known.
    pub const OPEN: Self = Self {
        kind: HoursKind::Open,
        ..Self::ALL_DAY
    };

    /// The word for each site's opening hours.
    pub const OPEN_WORD: &'static str = "open";

    /// Each site's opening hours: all of them lie in `window`, and every end is a multiple of `grid` minutes.
    #[must_use]
    pub(super) const fn open(window: &Range<u16>, grid: u16) -> Self {
        Self {
            from: window.start,
            to: window.end,
            grid,
            kind: HoursKind::Open,
        }
    }

    /// Whether they are each site's opening hours.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self.kind, HoursKind::Open)
    }

    /// First minute of the window.
    #[must_use]
    pub const fn from(self) -> u16 {
        self.from
    }

    /// End of the window (exclusive).
    #[must_use]
    pub const fn to(self) -> u16 {
        self.to
    }

    /// Whether the caller gives hours other than the whole day.
    #[must_use]
    pub const fn is_given(self) -> bool {
        !matches!(self.kind, HoursKind::Day)
    }

    /// Whether the window runs past midnight.
    #[must_use]
    pub const fn past_midnight(self) -> bool {
        self.to > DAY_MINUTES
    }

    /// The whole day, in buckets of the vendor that suit this window.
    #[must_use]
    pub const fn whole_days(self) -> Self {
        Self {
            grid: self.grid,
            ..Self::ALL_DAY
        }
    }
}

/// The largest number that divides both.
pub(super) const fn common_divisor(one: u16, two: u16) -> u16 {
    if two == 0 {
        one
    } else {
        common_divisor(two, one % two)
    }
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        if text == Self::OPEN_WORD {
            return Ok(Self::OPEN);
        }
        let (from, to) = text.split_once('-').ok_or(InvalidHours::Form)?;
        let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
        if from == DAY_MINUTES || from == to {
            return Err(InvalidHours::Empty);
        }
        if from % 5 != 0 || to % 5 != 0 {
            return Err(InvalidHours::Grid);
        }
        if (from, to) == (0, DAY_MINUTES) {
            return Ok(Self::ALL_DAY);
        }
        Ok(Self {
            from,
            to: if to < from { to + DAY_MINUTES } else { to },
            grid: common_divisor(60, common_divisor(from, to)),
            kind: HoursKind::Clock,
        })
    }
}

/// `HH:MM` on the clock, `24:00` included.
fn minute_of_day(text: &str) -> Result<u16, InvalidHours> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else {
        return Err(InvalidHours::Form);
    };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return Err(InvalidHours::Form);
    }
    let number = |tens: u8, ones: u8| u16::from(tens - b'0') * 10 + u16::from(ones - b'0');
    let (hour, minute) = (number(h1, h2), number(m1, m2));
    if minute > 59 || hour * 60 + minute > DAY_MINUTES {
        return Err(InvalidHours::Form);
    }
    Ok(hour * 60 + minute)
}

/// The text is not a window of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHours {
    /// Neither `HH:MM-HH:MM` nor the word.
    #[error("hours are two times of day as HH:MM-HH:MM, from 00:00 to 24:00, or the word open")]
    Form,
    /// The window has no length, or begins at the end of the day.
    #[error("hours must not end when they begin, and must begin before 24:00")]
    Empty,
    /// The window is not on the 5-minute grid.
    #[error("the ends of hours must be multiples of 5 minutes")]
    Grid,
}

/// A minute of the day as `HH:MM`.
#[derive(Clone, Copy)]
pub struct ClockTime(pub u16);

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
