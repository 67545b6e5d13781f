//! Cells as bytes: named by what they are of, versioned, and bound to their name by a keyed tag.
//!
//! A page is the cells of a month. Its name ends with the versions of the layout and of the figures and with the vendor's place, so
//! that a page of another program or vendor is never found. The tag is over name and content: what is torn, moved or made by another
//! hand is not a page. A decoder never guesses: whatever is not as it must be is no page.
//!
//! A page, little endian: shape `u32` · number of ages `u8` × {days `u32`, `fetched_at` `i64` µs, `computed_at` `i64` µs} · for each day,
//! ascending, length `u16` and [`Figures::encoded`] · tag `[u8; 16]`. Bit `d` of `days` is day `d` of the month.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::civil::Date;

use super::Kept;
use crate::domain::cell::{Age, Cell};
use crate::domain::figures::{Bundle, Figures};
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::site::{CustomerId, SiteId};

/// The version of the layout of names and pages.
const SCHEMA: u8 = 1;

/// The version of what figures mean. Whoever mends how rows become figures raises it: what was made before is then fetched again.
pub const FIGURES_VERSION: u8 = 1;

const TAG: usize = 16;
const MAX_SLOTS: usize = 2;

/// Writes and reads pages of one vendor.
#[derive(Clone)]
pub struct Codec {
    /// The versions and the vendor's place, with which every name ends.
    namespace: String,
    key: [u8; 32],
}

/// What bytes are that were found under the name of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A page of the shape that was asked for.
    Page(Kept),
    /// A page of another shape.
    OtherShape,
    /// No page of that name.
    Corrupt,
}

impl Codec {
    /// For the figures of the vendor at `base_url`; who knows `secret` can make pages.
    #[must_use]
    pub fn new(base_url: &str, secret: &[u8]) -> Self {
        let place = blake3::hash(base_url.as_bytes()).to_hex();
        Self {
            namespace: format!("{SCHEMA}.{FIGURES_VERSION}.{}", &place[..16]),
            key: blake3::derive_key("pitaya tier pages 1", secret),
        }
    }

    /// The versions and the vendor's place.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of a page: it begins with the site, so that all that is of a site can be found.
    pub(super) fn page_name(&self, month: &SeriesMonth) -> String {
        let mut name = site_prefix(month.customer, month.site);
        let (metric, minutes) = (month.metric, month.bucket.minutes());
        let (year, number, namespace) = (month.year, month.month, &self.namespace);
        write!(name, "{metric}:{minutes}:{year:04}{number:02}:{namespace}")
            .expect("a text takes whatever is written");
        name
    }

    /// The name of a part of what was learned.
    pub(super) fn known_name(&self, part: &str) -> String {
        format!("{part}:{}", self.namespace)
    }

    /// The part that [`known_name`](Self::known_name) made this name of.
    pub(super) fn part_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(&*self.namespace)?.strip_suffix(':')
    }

    /// The page of that name with these cells: one for each date at most.
    pub(super) fn encode(&self, name: &str, shape: MonthShape, cells: &[(Date, Cell)]) -> Vec<u8> {
        let mut by_day: Vec<&(Date, Cell)> = cells.iter().collect();
        by_day.sort_by_key(|(date, _)| *date);
        let mut ages: Vec<(u32, Age)> = Vec::new();
        for (date, cell) in &by_day {
            let bit = 1 << date.day();
            match ages.iter_mut().find(|(_, age)| *age == cell.age()) {
                Some((days, _)) => *days |= bit,
                None => ages.push((bit, cell.age())),
            }
        }
        let mut bytes = shape.0.to_le_bytes().to_vec();
        bytes.push(u8::try_from(ages.len()).expect("at most one for each day"));
        for (days, age) in ages {
            bytes.extend(days.to_le_bytes());
            bytes.extend(age.fetched_at().as_microsecond().to_le_bytes());
            bytes.extend(age.computed_at().as_microsecond().to_le_bytes());
        }
        for (_, cell) in by_day {
            let figures = cell.figures().encoded();
            let len = u16::try_from(figures.len()).expect("a day has at most 576 figures");
            bytes.extend(len.to_le_bytes());
            bytes.extend(figures);
        }
        self.seal(name, bytes)
    }

    /// The cells of the page of `month`, which has that name, if it is of that shape.
    pub(super) fn decode(
        &self,
        month: &SeriesMonth,
        name: &str,
        shape: MonthShape,
        bytes: &[u8],
    ) -> Decoded {
        let slots = usize::from(month.bucket.slots_per_day());
        // A day on which the clock goes back has some buckets twice.
        let slots = slots..=MAX_SLOTS * slots;
        let page = self.open(name, bytes).and_then(|content| {
            let (found, rest) = content.split_first_chunk()?;
            let cells = cells(|day| month.date(day), &slots, rest)?;
            Some((MonthShape(u32::from_le_bytes(*found)), cells))
        });
        match page {
            None => Decoded::Corrupt,
            Some((found, _)) if found != shape => Decoded::OtherShape,
            Some((_, cells)) => Decoded::Page(cells),
        }
    }

    /// Whether a page has cells that were asked for later than `time`, as it says itself: its tag is not looked at.
    pub(super) fn is_later(page: &[u8], time: Timestamp) -> bool {
        let Some((ages, mut rest)) = page.get(4..).and_then(<[u8]>::split_first) else {
            return false;
        };
        for _ in 0..*ages {
            let Some((age, after)) = rest.split_first_chunk::<20>() else {
                return false;
            };
            let fetched_at = age[4..].first_chunk().expect("an age has 20 bytes");
            if i64::from_le_bytes(*fetched_at) > time.as_microsecond() {
                return true;
            }
            rest = after;
        }
        false
    }

    /// The page of that name without the cells that `forget` picks: `None` where nothing is left, or it is no page of ours.
    pub(super) fn without(
        &self,
        name: &str,
        bytes: &[u8],
        forget: impl Fn(Date, &Cell) -> bool,
    ) -> Option<Vec<u8>> {
        let (year, month) = month_of(name)?;
        let content = self.open(name, bytes)?;
        let (shape, rest) = content.split_first_chunk()?;
        let date = |day| Date::new(year, month, day).ok();
        let mut cells = cells(date, &(0..=usize::MAX), rest)?;
        cells.retain(|(date, cell)| !forget(*date, cell));
        let shape = MonthShape(u32::from_le_bytes(*shape));
        (!cells.is_empty()).then(|| self.encode(name, shape, &cells))
    }

    /// `content` bound to `name`.
    pub(super) fn seal(&self, name: &str, mut content: Vec<u8>) -> Vec<u8> {
        let tag = self.tag(name, &content);
        content.extend(tag);
        content
    }

    /// The content that was bound to `name`; `None` for any other bytes.
    pub(super) fn open<'a>(&self, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (content, tag) = sealed.split_last_chunk::<TAG>()?;
        (self.tag(name, content) == *tag).then_some(content)
    }

    fn tag(&self, name: &str, content: &[u8]) -> [u8; TAG] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(content);
        let hash = hasher.finalize();
        *hash.as_bytes().first_chunk().expect("it has 32 bytes")
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What the names of all pages of a customer begin with.
pub(super) fn customer_prefix(customer: CustomerId) -> String {
    format!("{customer}.")
}

/// What the names of all pages of a site begin with.
pub(super) fn site_prefix(customer: CustomerId, site: SiteId) -> String {
    format!("{customer}.{site}:")
}

/// The year and month in the name of a page.
pub(super) fn month_of(name: &str) -> Option<(i16, i8)> {
    let (year, month) = name.split(':').nth(3)?.split_at_checked(4)?;
    Some((year.parse().ok()?, month.parse().ok()?))
}

/// The cells of a page, read after its shape.
fn cells(
    date: impl Fn(i8) -> Option<Date>,
    slots: &RangeInclusive<usize>,
    bytes: &[u8],
) -> Option<Kept> {
    let (ages, mut rest) = bytes.split_first()?;
    let mut by_day: [Option<Age>; 32] = [None; 32];
    for _ in 0..*ages {
        let (days, fetched_at, computed_at);
        (days, rest) = rest.split_first_chunk()?;
        (fetched_at, rest) = rest.split_first_chunk()?;
        (computed_at, rest) = rest.split_first_chunk()?;
        let days = u32::from_le_bytes(*days);
        let time = |bytes| Timestamp::from_microsecond(i64::from_le_bytes(bytes)).ok();
        let age = Age::new(time(*fetched_at)?, Some(time(*computed_at)?));
        for (day, known) in by_day.iter_mut().enumerate() {
            if days & 1 << day != 0 && known.replace(age).is_some() {
                return None;
            }
        }
    }
    let mut days = Vec::new();
    let mut figures = Vec::new();
    for (day, age) in (0..).zip(by_day) {
        let Some(age) = age else { continue };
        let (len, encoded);
        (len, rest) = rest.split_first_chunk()?;
        (encoded, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        days.push((date(day)?, age));
        figures.push(encoded);
    }
    if !rest.is_empty() {
        return None;
    }
    let bundle = Bundle::from_encoded(&figures)?;
    let cells = days.into_iter().enumerate().map(|(nth, (date, age))| {
        let figures: Figures = bundle.get(nth)?;
        let fits = slots.contains(&figures.slots());
        fits.then(|| (date, Cell::of_age(figures, age)))
    });
    cells.collect()
}

#[cfg(test)]
mod tests;
