//! Sums narrow values without unpacking them.

/// Values of one width, side by side in a word, the first at the lowest bit. Neighbours are added in pairs, then pairs of pairs, then
/// fours, across the whole word at once: a sum has twice the bits of its summands, so it never overflows into the next one.
pub(super) struct Lanes {
    /// Number of values summed at once.
    pub(super) count: usize,
    width: u32,
    /// Masks: every second value, every second pair, and the lower four.
    values: u64,
    pairs: u64,
    fours: u64,
}

/// Lanes by width in bits. A word read from an arbitrary bit holds 57 bits of values, so at least 4 of each width.
pub(super) static LANES: [Lanes; 15] = {
    let mut lanes = [const { Lanes::new(0) }; 15];
    let mut width = 1;
    while width < 15 {
        lanes[width as usize] = Lanes::new(width);
        width += 1;
    }
    lanes
};

impl Lanes {
    const fn new(width: u32) -> Self {
        let count: u32 = if 8 * width <= 57 { 8 } else { 4 };
        Self {
            count: count as usize,
            width,
            values: every_second(width, count / 2),
            pairs: every_second(2 * width, count / 4),
            fours: every_second(4 * width, 1),
        }
    }

    /// The sum of the lowest [`count`](Self::count) values of `word`.
    pub(super) const fn sum(&self, word: u64) -> u64 {
        let pairs = (word & self.values) + ((word >> self.width) & self.values);
        let fours = (pairs & self.pairs) + ((pairs >> (2 * self.width)) & self.pairs);
        if self.count == 4 {
            return fours;
        }
        (fours & self.fours) + ((fours >> (4 * self.width)) & self.fours)
    }
}

/// The bits of `fields` fields of `width` bits, each followed by a gap of the same width.
const fn every_second(width: u32, fields: u32) -> u64 {
    let (mut mask, mut at) = (0, 0);
    while at < 2 * width * fields {
        mask |= (u64::MAX >> (64 - width)) << at;
        at += 2 * width;
    }
    mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lanes_add_up_to_the_sum_of_their_values(word in any::<u64>(), width in 0_usize..15) {
            let lanes = &LANES[width];

            let values = (0..lanes.count).map(|nth| (word >> (nth * width)) & ((1 << width) - 1));
            prop_assert_eq!(lanes.sum(word), values.sum::<u64>());
        }
    }

    #[test]
    fn full_lanes_do_not_overflow() {
        for (width, lanes) in LANES.iter().enumerate() {
            assert_eq!(lanes.sum(u64::MAX), lanes.count as u64 * ((1 << width) - 1));
        }
    }
}
