//! Encodes cells as bytes: versioned, under a name, and bound to that name by a keyed tag.
//!
//! A page holds the cells of one series of a month. Its name ends with the versions of the layout and of the figures and with a hash of
//! the vendor's address, so that a reader never finds a page of another program version or vendor. The tag covers name and content, so
//! torn, moved or forged bytes are not a page. The decoder never guesses: it refuses any bytes that the encoder would not write.
//!
//! A page, little endian: shape `u32` · number of ages `u8` × {days `u32`, `fetched_at` `i64` µs, `computed_at` `i64` µs} · for each day,
//! ascending, length `u16` and [`Figures::encoded`] · tag `[u8; 16]`. Bit `d` of `days` is day `d` of the month.

use std::fmt::{self, Write};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::cell::{Age, Cell};
use crate::domain::figures::Bundle;
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::{DaysOfAge, Page};
use crate::domain::site::{CustomerId, SiteId};

/// The version of the layout of names and pages.
const SCHEMA: u8 = 1;

/// The version of what figures mean. Raise it with every change of how rows become figures: Pitaya then fetches older cells again.
pub const FIGURES_VERSION: u8 = 1;

const TAG: usize = 16;
const MAX_SLOTS: usize = 2;

/// Writes and reads pages of one vendor.
#[derive(Clone)]
pub struct Codec {
    /// The end of every name: the versions and a hash of the vendor's address.
    pub(super) namespace: String,
    key: [u8; 32],
}

/// The result of decoding the bytes under the name of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A page of the wanted shape.
    Page(Page),
    /// A page of another shape.
    OtherShape,
    /// No page of that name.
    Corrupt,
}

impl Codec {
    /// A codec for figures of the vendor at `base_url`. Only a holder of `secret` can make pages.
    #[must_use]
    pub fn new(base_url: &str, secret: &[u8]) -> Self {
        let place = blake3::hash(base_url.as_bytes()).to_hex();
        Self {
            namespace: format!("{SCHEMA}.{FIGURES_VERSION}.{}", &place[..16]),
            key: blake3::derive_key("pitaya tier pages 1", secret),
        }
    }

    /// The name of a page. It begins with the site, so that a prefix finds all pages of a site.
    pub(super) fn page_name(&self, month: &SeriesMonth) -> String {
        let mut name = site_prefix(month.customer, month.site);
        let (metric, minutes) = (month.metric, month.bucket.minutes());
        let (year, number, namespace) = (month.year, month.month, &self.namespace);
        write!(name, "{metric}:{minutes}:{year:04}{number:02}:{namespace}")
            .expect("a string takes every write");
        name
    }

    /// The name of a part of the learned facts.
    pub(super) fn known_name(&self, part: &str) -> String {
        format!("{part}:{}", self.namespace)
    }

    /// The part whose [`known_name`](Self::known_name) this is.
    pub(super) fn part_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(&*self.namespace)?.strip_suffix(':')
    }

    /// Encodes the page of that name with these cells, at most one for each date.
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

    /// Decodes the page of `month` under that name, if it has that shape.
    pub(super) fn decode(
        &self,
        month: &SeriesMonth,
        name: &str,
        shape: MonthShape,
        bytes: &[u8],
    ) -> Decoded {
        let slots = usize::from(month.bucket.slots_per_day());
        // A day on which the clock is set back has some buckets twice.
        let slots = slots..=MAX_SLOTS * slots;
        let page = self.open(name, bytes).and_then(|content| {
            let (found, page) = page(content)?;
            let mut all_slots = page.slots();
            let fits = page.days() & !month.days() == 0 && all_slots.all(|it| slots.contains(&it));
            drop(all_slots);
            fits.then_some((found, page))
        });
        match page {
            None => Decoded::Corrupt,
            Some((found, _)) if found != shape => Decoded::OtherShape,
            Some((_, page)) => Decoded::Page(page),
        }
    }

    /// Whether a page has cells that were requested later than `time`. This reads the page without checking its tag.
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

    /// The page of that name without the cells that `forget` picks. `None` if no cell is left, or the bytes are not a page.
    pub(super) fn without(
        &self,
        name: &str,
        bytes: &[u8],
        forget: impl Fn(Date, &Cell) -> bool,
    ) -> Option<Vec<u8>> {
        let (year, month) = month_of(name)?;
        let (shape, page) = page(self.open(name, bytes)?)?;
        let cells = page.cells(|day| Date::new(year, month, day).ok());
        let cells: Vec<_> = cells.filter(|(date, cell)| !forget(*date, cell)).collect();
        (!cells.is_empty()).then(|| self.encode(name, shape, &cells))
    }

    /// Binds `content` to `name`.
    pub(super) fn seal(&self, name: &str, mut content: Vec<u8>) -> Vec<u8> {
        let tag = self.tag(name, &content);
        content.extend(tag);
        content
    }

    /// The content that [`seal`](Self::seal) bound to `name`; `None` for any other bytes.
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

/// The prefix of the names of all pages of a customer.
pub(super) fn customer_prefix(customer: CustomerId) -> String {
    format!("{customer}.")
}

/// The prefix of the names of all pages of a site.
pub(super) fn site_prefix(customer: CustomerId, site: SiteId) -> String {
    format!("{customer}.{site}:")
}

/// The year and month in the name of a page.
pub(super) fn month_of(name: &str) -> Option<(i16, i8)> {
    let (year, month) = name.split(':').nth(3)?.split_at_checked(4)?;
    Some((year.parse().ok()?, month.parse().ok()?))
}

/// The page in these bytes, without its tag, and its shape.
fn page(mut content: &[u8]) -> Option<(MonthShape, Page)> {
    let bytes = &mut content;
    let shape = MonthShape(u32::from_le_bytes(take(bytes)?));
    let [count] = take(bytes)?;
    let mut ages = Vec::with_capacity(count.into());
    for _ in 0..count {
        let days = u32::from_le_bytes(take(bytes)?);
        let mut time = || Timestamp::from_microsecond(i64::from_le_bytes(take(bytes)?)).ok();
        let age = Age::new(time()?, Some(time()?));
        ages.push(DaysOfAge { days, age });
    }
    let mut figures = Vec::with_capacity(31);
    while !bytes.is_empty() {
        let len = u16::from_le_bytes(take(bytes)?);
        figures.push(bytes.split_off(..usize::from(len))?);
    }
    let page = Page::of_ages(ages.into(), Bundle::from_encoded(&figures)?)?;
    Some((shape, page))
}

/// Splits off the first bytes.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests;
