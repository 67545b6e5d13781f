//! A page as the shared store holds it.
//!
//! A value, little endian: revision `[u8; 8]` · incarnation `u32` · number of epochs `u8` × {epoch `u64`, days `u32`} · the page as
//! [`Codec::encode`] writes it · tag. The tag is over the name and all before it, so a moved, torn or forged value is not accepted. Times
//! are those of the store's clock.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Date;

use super::core::Core;
use super::register::SAME_TIME;
use crate::domain::cell::{Age, Cell};
use crate::domain::month::{MonthShape, SeriesMonth};
use crate::tier::codec::Decoded;

/// Distinguishes each content of a page from earlier ones.
pub(super) type Revision = [u8; 8];

/// A page that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) incarnation: u32,
    /// The cells, and the number of the last known purge at each one's claim; `None` for cells of another shape.
    pub(super) cells: Option<BTreeMap<Date, (Cell, u64)>>,
}

impl Core {
    /// The value of a page.
    pub(super) fn encode(
        &self,
        month: &SeriesMonth,
        shape: MonthShape,
        incarnation: u32,
        cells: &BTreeMap<Date, (Cell, u64)>,
    ) -> Vec<u8> {
        let offset = self.register().conversion();
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
            .map(|(date, (cell, _))| (*date, shifted(cell, offset)))
            .collect();
        let name = self.key(month);
        bytes.extend(self.codec.encode(&name, shape, &cells));
        self.codec.seal(&name, bytes)
    }

    /// The page of `month` in a value, or `None` if the bytes are not such a page.
    pub(super) fn decode(
        &self,
        month: &SeriesMonth,
        shape: MonthShape,
        value: &[u8],
    ) -> Option<Page> {
        let name = self.key(month);
        let content = self.codec.open(&name, value)?;
        let (_, rest) = content.split_first_chunk::<8>()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (count, mut rest) = rest.split_first()?;
        let mut epochs = [None; 32];
        for _ in 0..*count {
            let (epoch, days);
            (epoch, rest) = rest.split_first_chunk()?;
            (days, rest) = rest.split_first_chunk()?;
            let days = u32::from_le_bytes(*days);
            for (day, known) in epochs.iter_mut().enumerate() {
                if days & 1 << day != 0 {
                    *known = Some(u64::from_le_bytes(*epoch));
                }
            }
        }
        let cells = match self.codec.decode(month, &name, shape, rest) {
            Decoded::Corrupt => return None,
            Decoded::OtherShape => None,
            Decoded::Page(cells) => {
                let offset = -self.register().conversion();
                let now = self.clock.now();
                let cells = cells.into_iter().map(|(date, cell)| {
                    let epoch = epochs[usize::from(date.day().unsigned_abs())]?;
                    Some((date, (not_after(now, shifted(&cell, offset)), epoch)))
                });
                Some(cells.collect::<Option<_>>()?)
            }
        };
        Some(Page {
            incarnation: u32::from_le_bytes(*incarnation),
            cells,
        })
    }
}

/// The revision of a value; empty for a missing value.
pub(super) fn revision(value: &[u8]) -> &[u8] {
    value.get(..8).unwrap_or(value)
}

/// The cell with its times converted to another clock.
fn shifted(cell: &Cell, by: SignedDuration) -> Cell {
    if by.is_zero() {
        return cell.clone();
    }
    let age = cell.age();
    let shift = |time: jiff::Timestamp| time.checked_add(by).unwrap_or(time);
    let age = Age::new(shift(age.fetched_at()), Some(shift(age.computed_at())));
    Cell::of_age(cell.figures().clone(), age)
}

/// The cell, with a time that is only slightly ahead set to `now`: its replica's clock may be a little fast.
fn not_after(now: jiff::Timestamp, cell: Cell) -> Cell {
    let age = cell.age();
    let early = age.fetched_at().duration_since(now);
    if early.is_positive() && early <= 2 * SAME_TIME {
        let age = Age::new(now, Some(age.computed_at().min(now)));
        return Cell::of_age(cell.figures().clone(), age);
    }
    cell
}
