//! A page as the shared store holds it.
//!
//! A value, little endian: revision `[u8; 8]` · incarnation `u32` · number of epochs `u8` × {epoch `u64`, days `u32`} · the page as
//! [`Codec::encode`] writes it · tag. The tag is over the name and all before it, so a moved, torn or forged value is not accepted. Times
//! are those of the store's clock.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::core::Core;
use super::register::SAME_TIME;
use crate::domain::cell::{Age, Cell};
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::domain::page::Page;
use crate::tier::codec::{Decoded, take};

/// Distinguishes each content of a page from earlier ones.
pub(super) type Revision = [u8; 8];

/// A decoded value.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) incarnation: u32,
    /// The epochs in which the cells were claimed, and the days of each (bit `d`: day `d`).
    epochs: Vec<(u64, u32)>,
    /// The cells; `None` if they have another shape.
    pub(super) page: Option<Page>,
}

impl Value {
    /// The days (bit `d`: day `d`) that `allowed` returns for their epoch.
    pub(super) fn days(&self, allowed: impl Fn(u64) -> u32) -> u32 {
        let epochs = self.epochs.iter();
        epochs.fold(0, |all, (epoch, days)| all | days & allowed(*epoch))
    }

    /// The cells of those days, which are of `month`, each with its epoch.
    pub(super) fn cells(
        self,
        month: &SeriesMonth,
        allowed: impl Fn(u64) -> u32,
    ) -> BTreeMap<Date, (Cell, u64)> {
        let mut cells = BTreeMap::new();
        let page = self.page.unwrap_or_default();
        for (epoch, days) in self.epochs {
            let days = days & allowed(epoch);
            let date = |day| month.date(day).filter(|_| days & 1 << day != 0);
            cells.extend(page.cells(date).map(|(date, cell)| (date, (cell, epoch))));
        }
        cells
    }
}

impl Core {
    /// The value of the page of that name.
    pub(super) fn encode(
        &self,
        name: &str,
        shape: MonthShape,
        incarnation: u32,
        cells: &BTreeMap<Date, (Cell, u64)>,
    ) -> Vec<u8> {
        let offset = self.register.lock().conversion();
        let mut epochs: BTreeMap<u64, u32> = BTreeMap::new();
        for (date, (_, epoch)) in cells {
            *epochs.entry(*epoch).or_default() |= 1 << date.day();
        }
        let mut bytes = rand::random::<Revision>().to_vec();
        bytes.extend(incarnation.to_le_bytes());
        bytes.push(u8::try_from(epochs.len()).expect("at most one for each day"));
        for (epoch, days) in epochs {
            bytes.extend(epoch.to_le_bytes());
            bytes.extend(days.to_le_bytes());
        }
        let cells: Vec<(Date, Cell)> = cells
            .iter()
            .map(|(date, (cell, _))| {
                let age = shifted(cell.age(), offset);
                (*date, Cell::of_age(cell.figures().clone(), age))
            })
            .collect();
        bytes.extend(self.codec.encode(name, shape, &cells));
        self.codec.seal(name, bytes)
    }

    /// The value of the page of `month`, which has that name, or `None` if the bytes are not such a value.
    pub(super) fn decode(
        &self,
        month: &SeriesMonth,
        name: &str,
        shape: MonthShape,
        bytes: &[u8],
    ) -> Option<Value> {
        let mut rest = self.codec.open(name, bytes)?;
        let _: Revision = take(&mut rest)?;
        let incarnation = u32::from_le_bytes(take(&mut rest)?);
        let [count] = take(&mut rest)?;
        let (mut epochs, mut known) = (Vec::new(), 0);
        for _ in 0..count {
            let epoch = u64::from_le_bytes(take(&mut rest)?);
            let days = u32::from_le_bytes(take(&mut rest)?);
            if known & days != 0 {
                return None;
            }
            known |= days;
            epochs.push((epoch, days));
        }
        let page = match self.codec.decode(month, name, shape, rest) {
            Decoded::Corrupt => return None,
            Decoded::OtherShape => None,
            Decoded::Page(page) if page.days() & !known != 0 => return None,
            Decoded::Page(page) => {
                let offset = -self.register.lock().conversion();
                let now = self.clock.now();
                Some(page.aged(|age| not_after(now, shifted(age, offset))))
            }
        };
        Some(Value {
            incarnation,
            epochs,
            page,
        })
    }
}

/// The revision of a value; empty for a missing value.
pub(super) fn revision(value: &[u8]) -> &[u8] {
    value.get(..8).unwrap_or(value)
}

/// The age with its times converted to another clock.
fn shifted(age: Age, by: SignedDuration) -> Age {
    if by.is_zero() {
        return age;
    }
    let shift = |time: Timestamp| time.checked_add(by).unwrap_or(time);
    Age::new(shift(age.fetched_at()), Some(shift(age.computed_at())))
}

/// The age, with a time that is only slightly ahead set to `now`: its replica's clock may be a little fast.
fn not_after(now: Timestamp, age: Age) -> Age {
    let early = age.fetched_at().duration_since(now);
    if early.is_positive() && early <= 2 * SAME_TIME {
        return Age::new(now, Some(age.computed_at().min(now)));
    }
    age
}
