//! The figures of one cell, packed: about a byte for each small count.

use std::sync::Arc;

/// The figures of one day's buckets, in order; a bucket without one is told apart from a zero.
///
/// Whole numbers are packed at the width of the largest; anything else is kept as 64-bit floats. Either way what comes
/// out is what went in. Cloning shares the bytes.
///
/// Layout: tag, slot count (2 bytes, little endian), presence map unless the tag says that all are present, values.
/// The tag's low 7 bits are the width in bits: 0 to 53 for whole numbers, 64 for floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures(Arc<[u8]>);

const HEAD: usize = 3;
const ALL_PRESENT: u8 = 0x80;
const FLOAT: u8 = 64;
/// A value is read as one unaligned word, so the bytes run on for a word after the last.
const TAIL: usize = 8;
/// Whole numbers up to this are exact in an `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

impl Figures {
    /// Packs the figures; a value that is absent, not finite or negative is absent.
    ///
    /// # Panics
    ///
    /// Never: a day has at most 576 slots, far below the limit of 65,535, and longer input is cut there.
    #[must_use]
    pub fn pack(values: &[Option<f64>]) -> Self {
        let slots = values.len().min(usize::from(u16::MAX));
        let values = &values[..slots];
        let good = |value: &Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let present = values.iter().filter_map(good);
        let whole = present
            .clone()
            .all(|value| value <= MAX_WHOLE && value.fract() == 0.0);
        let any = present.clone().next().is_some();
        let all = any && present.clone().count() == slots;
        let width = if !any {
            0
        } else if whole {
            let largest = present.fold(0.0, f64::max);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, and at most 2^53"
            )]
            let bits = 64 - (largest as u64).leading_zeros();
            u8::try_from(bits).unwrap_or(FLOAT)
        } else {
            FLOAT
        };
        let map = if all || !any { 0 } else { slots.div_ceil(8) };
        let data = if width == 0 {
            0
        } else {
            (slots * usize::from(width)).div_ceil(8) + TAIL
        };
        let mut bytes = vec![0; HEAD + map + data];
        bytes[0] = width | if all { ALL_PRESENT } else { 0 };
        bytes[1..HEAD].copy_from_slice(&u16::try_from(slots).unwrap_or(u16::MAX).to_le_bytes());
        if !any {
            // No figure at all: the map would be all zeros. An absent map of a cell that is not "all present" says so.
            return Self(bytes.into());
        }
        for (slot, value) in values.iter().enumerate() {
            let Some(value) = good(value) else { continue };
            if map > 0 {
                bytes[HEAD + slot / 8] |= 1 << (slot % 8);
            }
            if width == 0 {
                continue;
            }
            let bit = slot * usize::from(width);
            let at = HEAD + map + bit / 8;
            if width == FLOAT {
                bytes[at..at + 8].copy_from_slice(&value.to_bits().to_le_bytes());
            } else {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, and at most 2^53"
                )]
                let shifted = (value as u64) << (bit % 8);
                let word = word_at(&bytes, at) | shifted;
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        Self(bytes.into())
    }

    /// The figures of a day on which the vendor saw nothing at all.
    #[must_use]
    pub fn none(slots: u16) -> Self {
        let [low, high] = slots.to_le_bytes();
        Self(Arc::new([0, low, high]))
    }

    /// How many buckets the day has, those without a figure included.
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[1], self.0[2]]))
    }

    /// The bytes that it holds on the heap, the reference counts included.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }

    /// The figure of one bucket.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<f64> {
        let view = self.view();
        (slot < view.slots && view.present(slot)).then(|| view.value(slot))
    }

    /// Every bucket's figure, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<f64>> {
        let view = self.view();
        (0..view.slots).map(move |slot| view.present(slot).then(|| view.value(slot)))
    }

    /// Calls `visit` with the slot and figure of each bucket of `slots` that has one, in order.
    pub fn for_each(&self, slots: std::ops::Range<usize>, mut visit: impl FnMut(usize, f64)) {
        let view = self.view();
        for slot in slots.start..slots.end.min(view.slots) {
            if view.present(slot) {
                visit(slot, view.value(slot));
            }
        }
    }

    /// The sum of the figures in `slots`; `None` where there is none.
    #[must_use]
    pub fn sum(&self, slots: std::ops::Range<usize>) -> Option<f64> {
        let view = self.view();
        let slots = slots.start..slots.end.min(view.slots);
        if view.absent || slots.is_empty() {
            return None;
        }
        // An absent whole number is stored as 0, so a sum need not look at the map, but to tell none from zero.
        if view.width != FLOAT {
            let any = view.map.is_empty() || slots.clone().any(|slot| view.present(slot));
            let sum: u64 = slots
                .map(|slot| view.whole(slot))
                .fold(0, u64::saturating_add);
            #[expect(
                clippy::cast_precision_loss,
                reason = "exact up to 2^53, the nearest float beyond"
            )]
            return any.then_some(sum as f64);
        }
        let mut sum = None;
        for slot in slots {
            if view.present(slot) {
                sum = Some((sum.unwrap_or(0.0) + view.value(slot)).min(f64::MAX));
            }
        }
        sum
    }

    fn view(&self) -> View<'_> {
        let bytes = &*self.0;
        let (width, all) = (bytes[0] & !ALL_PRESENT, bytes[0] & ALL_PRESENT != 0);
        let slots = self.slots();
        let absent = bytes.len() == HEAD && !all;
        let map = if all || absent { 0 } else { slots.div_ceil(8) };
        let (map, data) = bytes[HEAD..].split_at(map);
        View {
            slots,
            width,
            absent,
            map,
            data,
        }
    }
}

struct View<'a> {
    slots: usize,
    width: u8,
    absent: bool,
    map: &'a [u8],
    data: &'a [u8],
}

impl View<'_> {
    fn present(&self, slot: usize) -> bool {
        !self.absent && (self.map.is_empty() || self.map[slot / 8] & (1 << (slot % 8)) != 0)
    }

    fn whole(&self, slot: usize) -> u64 {
        if self.width == 0 {
            return 0;
        }
        let bit = slot * usize::from(self.width);
        (word_at(self.data, bit / 8) >> (bit % 8)) & ((1 << self.width) - 1)
    }

    fn value(&self, slot: usize) -> f64 {
        if self.width == FLOAT {
            f64::from_bits(word_at(self.data, slot * 8))
        } else {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
            let value = self.whole(slot) as f64;
            value
        }
    }
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    reason = "the largest whole numbers are what is tried"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn figure() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            3 => Just(None),
            3 => (0_u32..300).prop_map(|count| Some(f64::from(count))),
            1 => (0_u64..=1 << 53).prop_map(|count| Some(count as f64)),
            1 => (0.0..1e300_f64).prop_map(Some),
        ]
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_went_in(values in prop_oneof![
            prop::collection::vec(figure(), 0..400),
            prop::collection::vec((0_u32..200).prop_map(|count| Some(f64::from(count))), 0..400),
            prop::collection::vec(prop::option::of((0_u64..=(1 << 53) - 1).prop_map(|count| count as f64)), 0..400),
        ]) {
            let figures = Figures::pack(&values);

            prop_assert_eq!(figures.iter().collect::<Vec<_>>(), values.clone());
            prop_assert_eq!(figures.get(values.len()), None);
            let mut seen = vec![None; values.len()];
            figures.for_each(0..values.len() + 9, |slot, value| seen[slot] = Some(value));
            prop_assert_eq!(&seen, &values);
        }

        #[test]
        fn a_sum_is_over_what_was_observed(values in prop::collection::vec(prop::option::of(0_u32..5000), 0..100), from in 0_usize..110, len in 0_usize..110) {
            let figures = Figures::pack(&values.iter().map(|value| value.map(f64::from)).collect::<Vec<_>>());

            let window: Vec<u32> = values.iter().skip(from).take(len).flatten().copied().collect();
            let expected = (!window.is_empty()).then(|| window.iter().copied().map(f64::from).sum::<f64>());
            prop_assert_eq!(figures.sum(from..from + len), expected);
        }
    }

    #[test]
    fn small_counts_cost_about_a_byte() {
        let day: Vec<_> = (0..96).map(|slot| Some(f64::from(slot * 2))).collect();

        assert!(Figures::pack(&day).heap_bytes() <= 96 * 8 / 8 + HEAD + TAIL + 16);
        assert_eq!(Figures::pack(&vec![None; 96]), Figures::none(96));
    }
}
