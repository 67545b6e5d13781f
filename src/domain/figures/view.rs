//! The packed format of figures, and reads that do not unpack them.

use std::ops::Range;

use super::lanes::LANES;

/// Length in bytes of a [`Shape`].
pub(super) const HEAD: usize = 7;
const ALL_PRESENT: u8 = 0x80;
/// Width of values that are not whole.
pub(super) const FLOAT: u8 = 64;
/// Whole numbers up to this are exact in an `f64`.
pub(super) const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;
/// Whole numbers of more bits are not exact in a float.
const WIDEST_WHOLE: u8 = 53;
/// Each value is read as one unaligned word, so the bytes extend a word past the last value.
pub(super) const TAIL: usize = 8;

/// The head of packed figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) slots: u16,
    /// First slot with a figure, and the number of slots from there to the last one with a figure; 0 if there are none.
    pub(super) first: u16,
    pub(super) len: u16,
    pub(super) width: u8,
    /// Whether every slot of the span has a figure.
    pub(super) all: bool,
}

impl Shape {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let [tag, s1, s2, f1, f2, l1, l2] =
            *bytes.first_chunk().expect("figures begin with their head");
        Self {
            slots: u16::from_le_bytes([s1, s2]),
            first: u16::from_le_bytes([f1, f2]),
            len: u16::from_le_bytes([l1, l2]),
            width: tag & !ALL_PRESENT,
            all: tag & ALL_PRESENT != 0,
        }
    }

    pub(super) fn write(self, bytes: &mut [u8]) {
        bytes[0] = self.width | if self.all { ALL_PRESENT } else { 0 };
        bytes[1..3].copy_from_slice(&self.slots.to_le_bytes());
        bytes[3..5].copy_from_slice(&self.first.to_le_bytes());
        bytes[5..HEAD].copy_from_slice(&self.len.to_le_bytes());
    }

    pub(super) fn map_len(self) -> usize {
        if self.all {
            0
        } else {
            usize::from(self.len).div_ceil(8)
        }
    }

    pub(super) fn encoded_len(self) -> usize {
        HEAD + self.map_len() + (usize::from(self.len) * usize::from(self.width)).div_ceil(8)
    }

    /// Whether all of `slots` are in the span, every slot of which has a figure.
    pub(super) fn is_full_over(self, slots: &Range<usize>) -> bool {
        let (first, len) = (usize::from(self.first), usize::from(self.len));
        self.all && first <= slots.start && slots.end <= first + len
    }

    /// Whether packed figures can have this shape: a possible width, and a span within the day.
    fn can_be(self) -> bool {
        let width = self.width <= WIDEST_WHOLE || self.width == FLOAT;
        let span = usize::from(self.first) + usize::from(self.len) <= usize::from(self.slots);
        let empty = self.len > 0 || (self.first == 0 && self.width == 0 && self.all);
        width && span && empty
    }
}

/// Whether `bytes` are the packed figures of a day and nothing else, all of which can be read.
///
/// Whole numbers without a gap need no unpacking to be accepted.
pub(super) fn is_encoded(bytes: &[u8]) -> bool {
    if bytes.len() < HEAD {
        return false;
    }
    let shape = Shape::read(bytes);
    if !shape.can_be() || bytes.len() != shape.encoded_len() {
        return false;
    }
    let values = usize::from(shape.len);
    let (map, data) = bytes[HEAD..].split_at(shape.map_len());
    let bits = values * usize::from(shape.width);
    if !(ends_in_zeros(map, values) && ends_in_zeros(data, bits)) {
        return false;
    }
    if shape.all && shape.width != FLOAT {
        return true;
    }
    // Values are read a word at a time, which reaches beyond the last.
    let mut bytes = bytes.to_vec();
    bytes.extend_from_slice(&[0; TAIL]);
    View::new(&bytes).can_be()
}

/// Whether the bits of the last byte, from the one at `bits` on, are zeros.
fn ends_in_zeros(bytes: &[u8], bits: usize) -> bool {
    bits.is_multiple_of(8) || bytes.last().is_none_or(|last| last >> (bits % 8) == 0)
}

/// Packed figures with a decoded head.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain) struct View<'a> {
    shape: Shape,
    /// Starts at the presence of the first value, if there is a map, and extends a word beyond the last.
    map: &'a [u8],
    /// Starts at the first value, and extends beyond the last.
    data: &'a [u8],
}

impl<'a> View<'a> {
    /// Decodes the head; `bytes` must extend at least one word past the figures' own.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let shape = Shape::read(bytes);
        let map = &bytes[HEAD..];
        let data = &map[shape.map_len()..];
        Self { shape, map, data }
    }

    pub(in crate::domain) fn slots(&self) -> usize {
        usize::from(self.shape.slots)
    }

    pub(in crate::domain) fn get(&self, slot: usize) -> Option<f64> {
        let nth = slot.checked_sub(usize::from(self.shape.first))?;
        (nth < usize::from(self.shape.len) && self.present(nth)).then(|| self.value(nth))
    }

    pub(in crate::domain) fn for_each(
        &self,
        slots: Range<usize>,
        mut visit: impl FnMut(usize, f64),
    ) {
        let first = usize::from(self.shape.first);
        for nth in self.within(slots) {
            if self.present(nth) {
                visit(first + nth, self.value(nth));
            }
        }
    }

    pub(in crate::domain) fn sum(&self, slots: Range<usize>) -> Option<f64> {
        let places = self.within(slots);
        if places.is_empty() {
            return None;
        }
        // An absent whole number is stored as 0, so the sum needs the map only to tell none from zero.
        if self.shape.width != FLOAT {
            let any = self.any(places.clone());
            #[expect(
                clippy::cast_precision_loss,
                reason = "exact up to 2^53, the nearest float beyond"
            )]
            return any.then(|| self.whole_sum(places) as f64);
        }
        let mut sum = None;
        for nth in places {
            if self.present(nth) {
                sum = Some((sum.unwrap_or(0.0) + self.value(nth)).min(f64::MAX));
            }
        }
        sum
    }

    /// Whether any of `slots` has a figure.
    pub(in crate::domain) fn has_any(&self, slots: Range<usize>) -> bool {
        self.any(self.within(slots))
    }

    /// Whether no slot has a figure.
    pub(in crate::domain) fn is_empty(&self) -> bool {
        self.shape.len == 0
    }

    /// Calls `visit` with the longest runs of `slots` that have no figure, in order, unless they are shorter than `at_least`: 1 to
    /// [`LONGEST_LEAST`](Self::LONGEST_LEAST) slots.
    pub(in crate::domain) fn for_each_gap(
        &self,
        slots: Range<usize>,
        at_least: usize,
        mut visit: impl FnMut(Range<usize>),
    ) {
        let first = usize::from(self.shape.first);
        let end = first + usize::from(self.shape.len);
        // The span begins and ends with a figure, and usually has one in each slot.
        let before = slots.start..slots.end.min(first);
        let after = slots.start.max(end)..slots.end;
        if before.len() >= at_least {
            visit(before);
        }
        if !self.shape.all {
            let mut places = self.within(slots);
            while let Some(gap) = self.next_gap(places.clone(), at_least) {
                places.start = gap.end;
                visit(first + gap.start..first + gap.end);
            }
        }
        if after.len() >= at_least {
            visit(after);
        }
    }

    /// The greatest bound of [`for_each_gap`](Self::for_each_gap): a word of the map, from any place on, has so many places.
    const LONGEST_LEAST: usize = 57;

    /// The first of the longest runs of `places` without a figure that are `at_least` so long: found a word of the map at a time.
    fn next_gap(&self, places: Range<usize>, at_least: usize) -> Option<Range<usize>> {
        debug_assert!((1..=Self::LONGEST_LEAST).contains(&at_least));
        let mut at = places.start;
        while at + at_least <= places.end {
            let (absent, known) = self.absent(at, places.end);
            let starts = starts_of_runs(absent, at_least);
            if starts != 0 {
                let start = at + starts.trailing_zeros() as usize;
                return Some(start..self.gap_end(start + at_least, places.end));
            }
            // The last places may begin a run that goes on.
            at += known + 1 - at_least;
        }
        None
    }

    /// The place after the places from `at` on, up to `end`, that all lack a figure.
    fn gap_end(&self, mut at: usize, end: usize) -> usize {
        while at < end {
            let (absent, known) = self.absent(at, end);
            let run = (!absent).trailing_zeros() as usize;
            if run < known {
                return at + run;
            }
            at += known;
        }
        end
    }

    /// The places from `at` on that lack a figure, as the bits of a word from the lowest on, and the number of places that the word tells
    /// of: as many as it can, up to `end`. Above them, its bits are zeros.
    fn absent(&self, at: usize, end: usize) -> (u64, usize) {
        let known = (64 - at % 8).min(end - at);
        let present = word_at(self.map, at / 8) >> (at % 8);
        (!present & (u64::MAX >> (64 - known)), known)
    }

    fn any(&self, mut places: Range<usize>) -> bool {
        !places.is_empty() && (self.shape.all || places.any(|nth| self.present(nth)))
    }

    fn whole_sum(&self, places: Range<usize>) -> u64 {
        /// Maximum width at which a sum cannot overflow: fewer than 2^16 such values fit in 64 bits.
        const NO_OVERFLOW: u8 = 48;
        let (mut sum, mut rest) = (0, places);
        if let Some(lanes) = LANES.get(usize::from(self.shape.width)) {
            while rest.len() >= lanes.count {
                sum += lanes.sum(self.word(rest.start));
                rest.start += lanes.count;
            }
        }
        let rest = rest.map(|nth| self.whole(nth));
        if self.shape.width <= NO_OVERFLOW {
            rest.fold(sum, u64::wrapping_add)
        } else {
            rest.fold(sum, u64::saturating_add)
        }
    }

    /// Places in the span of those `slots` that it covers.
    fn within(&self, slots: Range<usize>) -> Range<usize> {
        let (first, len) = (usize::from(self.shape.first), usize::from(self.shape.len));
        slots.start.saturating_sub(first)..slots.end.saturating_sub(first).min(len)
    }

    /// Whether the span begins and ends with a figure, absent figures are stored as zeros, and floats are valid figures that whole numbers
    /// could not hold.
    fn can_be(&self) -> bool {
        let len = usize::from(self.shape.len);
        let figure = |nth| {
            let value = self.value(nth);
            if self.present(nth) {
                value.is_finite() && value >= 0.0
            } else {
                value.to_bits() == 0
            }
        };
        let ends = len == 0 || (self.present(0) && self.present(len - 1));
        let needed = self.shape.width != FLOAT || (0..len).any(|nth| !is_whole(self.value(nth)));
        ends && needed && (0..len).all(figure)
    }

    fn present(&self, nth: usize) -> bool {
        self.shape.all || self.map[nth / 8] & (1 << (nth % 8)) != 0
    }

    fn whole(&self, nth: usize) -> u64 {
        self.word(nth) & ((1 << self.shape.width) - 1)
    }

    /// Values from the `nth` on, with the `nth` at the lowest bit.
    fn word(&self, nth: usize) -> u64 {
        let bit = nth * usize::from(self.shape.width);
        word_at(self.data, bit / 8) >> (bit % 8)
    }

    fn value(&self, nth: usize) -> f64 {
        if self.shape.width == FLOAT {
            f64::from_bits(word_at(self.data, nth * 8))
        } else {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
            let value = self.whole(nth) as f64;
            value
        }
    }
}

/// The bits of `ones` from which on, towards the highest, at least `len` bits are ones.
fn starts_of_runs(mut ones: u64, len: usize) -> u64 {
    let mut found = 1;
    while found < len {
        let more = found.min(len - found);
        ones &= ones >> more;
        found += more;
    }
    ones
}

/// The word made of the 8 bytes from `at` on.
pub(super) fn word_at(bytes: &[u8], at: usize) -> u64 {
    // Copying a slice calls memcpy, which takes longer than the rest of a short sum.
    let word = bytes[at..].first_chunk();
    u64::from_le_bytes(*word.expect("there is a word"))
}

/// Whether it is a whole number that an `f64` tells from its neighbours. (Asking for the fraction is a call on x86-64.)
#[expect(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "at most 2^53, and nothing but the same number will do"
)]
pub(super) fn is_whole(value: f64) -> bool {
    value <= MAX_WHOLE && whole_number(value) as f64 == value
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is not whole, or beyond 2^53, is not kept as the number that this is"
)]
pub(super) fn whole_number(value: f64) -> u64 {
    value as u64
}
