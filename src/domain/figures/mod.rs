//! The figures of one cell, packed: about a byte for each small count.
//!
//! Whole-number counts take the width in bits of the day's largest, from the first figure to the last (most places are closed at night),
//! with a presence map only if figures are missing in between; other values are 64-bit floats. Lossless. Counts are summed while packed,
//! four or eight in a word at once (`figures::lanes`), since a year of 200 sites has 7 million of them.

mod bundle;
mod lanes;
mod view;

pub use self::bundle::Bundle;
pub(super) use self::view::View;

use std::ops::Range;
use std::sync::Arc;

use self::view::{FLOAT, HEAD, Shape, TAIL, is_encoded, is_whole, whole_number, word_at};

/// The figures of one day's buckets, in order; an absent figure differs from a zero.
///
/// Whole numbers are packed at the width of the largest; other values stay 64-bit floats. Both are lossless. Clones share the bytes, which
/// may also hold other cells: see [`Bundle`].
///
/// Layout: tag, slot count, first slot of the span, slots in the span (2 bytes each, little endian), presence map of the span unless the
/// tag marks all of it as present, values of the span. The span reaches from the first figure to the last: most places are closed at night.
/// The tag's low 7 bits are the width in bits: 0 to 53 for whole numbers, 64 for floats.
#[derive(Clone, Debug)]
pub struct Figures {
    bytes: Arc<[u8]>,
    start: u32,
}

impl Figures {
    /// Packs the figures. Values that are not finite or negative become absent.
    ///
    /// # Panics
    ///
    /// If there are more than 65,535 values; a day has at most 576.
    #[must_use]
    pub fn pack(values: &[Option<f64>]) -> Self {
        let slots = u16::try_from(values.len()).expect("a day has at most 576 slots");
        let good = |value: &Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let mut span = 0..0;
        // The bitwise OR of all numbers is as wide as the largest.
        let (mut present, mut whole, mut ones) = (0, true, 0);
        for (slot, value) in values.iter().enumerate() {
            let Some(value) = good(value) else { continue };
            if present == 0 {
                span.start = slot;
            }
            span.end = slot + 1;
            present += 1;
            whole &= is_whole(value);
            ones |= whole_number(value);
        }
        let width = if whole {
            u8::try_from(64 - ones.leading_zeros()).expect("at most 64")
        } else {
            FLOAT
        };
        let shape = Shape {
            slots,
            first: u16::try_from(span.start).expect("below `slots`"),
            len: u16::try_from(span.len()).expect("at most `slots`"),
            width,
            all: present == span.len(),
        };
        let mut bytes = vec![0; shape.encoded_len() + TAIL];
        shape.write(&mut bytes);
        let (map, data) = bytes[HEAD..].split_at_mut(shape.map_len());
        for (nth, value) in values[span].iter().enumerate() {
            let Some(value) = good(value) else { continue };
            if let Some(byte) = map.get_mut(nth / 8) {
                *byte |= 1 << (nth % 8);
            }
            let bit = nth * usize::from(width);
            let word = if width == FLOAT {
                value.to_bits()
            } else {
                word_at(data, bit / 8) | whole_number(value) << (bit % 8)
            };
            data[bit / 8..bit / 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        Self {
            bytes: bytes.into(),
            start: 0,
        }
    }

    /// The figures of a day on which the vendor observed nothing.
    #[must_use]
    pub fn none(slots: u16) -> Self {
        let shape = Shape {
            slots,
            first: 0,
            len: 0,
            width: 0,
            all: true,
        };
        let mut bytes = [0; HEAD + TAIL];
        shape.write(&mut bytes);
        Self {
            bytes: bytes.into(),
            start: 0,
        }
    }

    /// The figures that [`encoded`](Self::encoded) gave as these bytes; `None` for bytes that no figures have.
    #[must_use]
    pub fn from_encoded(bytes: &[u8]) -> Option<Self> {
        let mut bytes = is_encoded(bytes).then(|| bytes.to_vec())?;
        bytes.extend_from_slice(&[0; TAIL]);
        Some(Self {
            bytes: bytes.into(),
            start: 0,
        })
    }

    /// Number of buckets in the day, including those without a figure.
    #[must_use]
    pub fn slots(&self) -> usize {
        usize::from(Shape::read(self.onward()).slots)
    }

    /// The figure of one bucket.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<f64> {
        self.view().get(slot)
    }

    /// Figure of every bucket, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<f64>> {
        let view = self.view();
        (0..view.slots()).map(move |slot| view.get(slot))
    }

    /// Calls `visit` with the slot and figure of each bucket of `slots` that has a figure, in order.
    pub fn for_each(&self, slots: Range<usize>, visit: impl FnMut(usize, f64)) {
        self.view().for_each(slots, visit);
    }

    /// The sum of the figures in `slots`; `None` if there are none.
    #[must_use]
    pub fn sum(&self, slots: Range<usize>) -> Option<f64> {
        self.view().sum(slots)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        Shape::read(self.onward()).len == 0
    }

    /// Whether all of `slots` lie between the first and the last figure, between which no slot lacks one.
    pub(super) fn span_is_full_over(&self, slots: &Range<usize>) -> bool {
        Shape::read(self.onward()).is_full_over(slots)
    }

    /// The figures, decoded for repeated reads.
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.onward())
    }

    /// The cell's bytes, and any bytes after them.
    fn onward(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }

    /// The cell's own bytes, in the layout described above.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        let bytes = self.onward();
        &bytes[..Shape::read(bytes).encoded_len()]
    }
}

impl PartialEq for Figures {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for Figures {}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    reason = "the tests try the largest whole numbers"
)]
mod tests {
    use proptest::prelude::*;

    use super::view::MAX_WHOLE;
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
        fn packing_is_lossless(values in prop_oneof![
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
        fn gaps_are_the_long_runs_of_slots_without_a_figure(
            runs in prop::collection::vec((any::<bool>(), 1_usize..70), 0..20),
            (from, to) in (0_usize..500, 0_usize..500),
            at_least in 1_usize..58,
        ) {
            let runs = runs.into_iter().flat_map(|(there, times)| std::iter::repeat_n(there, times));
            let values: Vec<Option<f64>> = runs.map(|there| there.then_some(3.0)).collect();
            let slots = from..to;

            let mut gaps = Vec::new();
            Figures::pack(&values).view().for_each_gap(slots.clone(), at_least, |gap| gaps.push(gap));

            let absent: Vec<usize> = slots.filter(|slot| values.get(*slot).is_none_or(Option::is_none)).collect();
            let expected = absent.chunk_by(|one, next| one + 1 == *next).filter(|run| run.len() >= at_least);
            let expected: Vec<Range<usize>> = expected.map(|run| run[0]..run[run.len() - 1] + 1).collect();
            prop_assert_eq!(gaps, expected);
        }

        #[test]
        fn figures_come_back_from_their_bytes(values in prop::collection::vec(figure(), 0..400)) {
            let figures = Figures::pack(&values);

            let back = Figures::from_encoded(figures.encoded());

            prop_assert_eq!(back, Some(figures));
        }

        /// Bytes near those of figures, and any others.
        #[test]
        fn bytes_that_are_taken_for_figures_can_be_read_as_figures(
            values in prop_oneof![
                prop::collection::vec(figure(), 0..30),
                prop::collection::vec(prop::option::of((0_u32..9).prop_map(f64::from)), 0..30),
            ],
            changes in prop::collection::vec((0_usize..300, any::<u8>()), 0..4),
            len in prop::option::weighted(0.2, 0_usize..300),
        ) {
            let mut bytes = Figures::pack(&values).encoded().to_vec();
            bytes.resize(len.unwrap_or(bytes.len()), 0);
            for (at, byte) in changes {
                if let Some(there) = bytes.get_mut(at) {
                    *there = byte;
                }
            }

            if let Some(figures) = Figures::from_encoded(&bytes) {
                prop_assert_eq!(figures.encoded(), bytes);
                let values: Vec<_> = figures.iter().collect();
                prop_assert_eq!(values.len(), figures.slots());
                prop_assert!(values.iter().flatten().all(|value| value.is_finite() && *value >= 0.0));
                // Figures that were packed anew may be narrower, and mean the same.
                let packed = Figures::pack(&values);
                prop_assert_eq!(packed.iter().collect::<Vec<_>>(), values.clone());
                for from in 0..values.len() {
                    prop_assert_eq!(figures.sum(from..values.len()), packed.sum(from..values.len()));
                }
            }
        }

        #[test]
        fn a_sum_covers_the_observed_figures(
            values in prop_oneof![
                prop::collection::vec(figure(), 0..100),
                prop::collection::vec(prop::option::of((0_u32..5000).prop_map(f64::from)), 0..100),
                prop::collection::vec(prop::option::of((0_u64..=(1 << 53) - 1).prop_map(|count| count as f64)), 0..3000),
            ],
            from in 0_usize..110,
            len in 0_usize..3000,
        ) {
            let figures = Figures::pack(&values);

            let window: Vec<f64> = values.iter().skip(from).take(len).flatten().copied().collect();
            let expected = if values.iter().flatten().all(|value| value.fract() == 0.0 && *value <= MAX_WHOLE) {
                let sum: u128 = window.iter().map(|value| u128::from(whole_number(*value))).sum();
                u64::try_from(sum).unwrap_or(u64::MAX) as f64
            } else {
                window.iter().fold(0.0, |sum, value| (sum + value).min(f64::MAX))
            };
            prop_assert_eq!(figures.sum(from..from + len), (!window.is_empty()).then_some(expected));
        }

        #[test]
        fn bundled_figures_are_the_same(
            cells in prop::collection::vec(prop_oneof![
                prop::collection::vec(figure(), 0..120),
                prop::collection::vec(prop::option::of(Just(0.0)), 0..120),
                prop::collection::vec((0_u32..12).prop_map(|count| Some(f64::from(count))), 0..120),
            ], 0..32),
            from in 0_usize..120,
        ) {
            let alone: Vec<Figures> = cells.iter().map(|values| Figures::pack(values)).collect();

            let bundle = Bundle::new(&alone.iter().collect::<Vec<_>>());
            // Figures from one bundle may go into another.
            let bundled: Vec<Figures> = (0..alone.len()).filter_map(|nth| bundle.get(nth)).collect();
            let again = Bundle::new(&bundled.iter().collect::<Vec<_>>());

            prop_assert_eq!((bundle.len(), again.len()), (alone.len(), alone.len()));
            for (nth, (figures, values)) in alone.iter().zip(&cells).enumerate() {
                for bundle in [&bundle, &again] {
                    let bundled = bundle.get(nth).unwrap();
                    prop_assert_eq!(&bundled, figures);
                    prop_assert_eq!(&bundled.iter().collect::<Vec<_>>(), values);
                    let seen: Vec<f64> = values.iter().skip(from).flatten().copied().collect();
                    prop_assert_eq!(bundled.sum(from..120).is_some(), !seen.is_empty());
                    prop_assert_eq!(bundled.sum(from..120), figures.sum(from..120));
                }
            }
            prop_assert_eq!(bundle.get(alone.len()), None);
        }
    }

    #[test]
    fn small_counts_cost_about_a_byte_and_hours_without_any_cost_nothing() {
        let open: Vec<_> = (0..96).map(|slot| Some(f64::from(slot * 2))).collect();
        let closed_at_night: Vec<_> = (0..96)
            .map(|slot| (36..84).contains(&slot).then_some(200.0))
            .collect();

        assert_eq!(Figures::pack(&open).encoded().len(), HEAD + 96);
        assert_eq!(Figures::pack(&closed_at_night).encoded().len(), HEAD + 48);
        assert_eq!(Figures::pack(&vec![None; 96]), Figures::none(96));
        assert_eq!(Figures::none(96).encoded().len(), HEAD);
    }
}
