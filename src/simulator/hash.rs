//! A cheap, well-mixed hash that never changes and does not depend on the platform, so that figures do not either.

/// Mixes `words` into one; each bit of the input affects each bit of the output (the finalizer of `SplitMix64`).
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

/// Maps a hash's upper half to a number in `0..1`.
pub(super) fn unit(hash: u64) -> f64 {
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / 4_294_967_296.0
}

/// Maps one hash to four numbers in `0..1`, 16 bits each.
pub(super) fn units(hash: u64) -> [f64; 4] {
    [48, 32, 16, 0].map(|shift| {
        let bits = u16::try_from(hash >> shift & 0xFFFF).unwrap_or(0);
        f64::from(bits) / 65_536.0
    })
}
