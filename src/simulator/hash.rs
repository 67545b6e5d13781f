//! A cheap, well-mixed hash that is the same everywhere and for ever, so that figures are too.

/// Mixes `words` into one, each bit of the input touching each bit of the output (the finalizer of SplitMix64).
pub(super) fn hash(words: &[u64]) -> u64 {
    let mut state = 0x5151_7AFA_17A7_A000;
    for word in words {
        state = mix(state ^ word);
    }
    state
}

fn mix(word: u64) -> u64 {
    let mut word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A number in `0..1` from a hash's upper half.
pub(super) fn unit(hash: u64) -> f64 {
    let [a, b, c, d, ..] = hash.to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / 4_294_967_296.0
}

/// Four numbers in `0..1` from one hash, 16 bits each.
pub(super) fn units(hash: u64) -> [f64; 4] {
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(|pair| f64::from(u16::from_be_bytes(pair)) / 65_536.0)
}
