//! Any bytes in place of kept figures are either refused, or are figures that can be read and combined.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitaya::domain::figures::Figures;

fuzz_target!(|bytes: &[u8]| {
    let Some(figures) = Figures::from_encoded(bytes) else {
        return;
    };
    assert_eq!(figures.encoded(), bytes);
    let values: Vec<_> = figures.iter().collect();
    assert_eq!(values.len(), figures.slots());
    assert!(
        values
            .iter()
            .flatten()
            .all(|value| value.is_finite() && *value >= 0.0)
    );
    let packed = Figures::pack(&values);
    assert!(packed.iter().eq(values.iter().copied()));
    for (from, len) in [(0, values.len()), (values.len() / 3, values.len() / 2)] {
        assert_eq!(figures.sum(from..from + len), packed.sum(from..from + len));
        let mut seen = 0;
        figures.for_each(from..from + len, |slot, value| {
            assert_eq!(values[slot], Some(value));
            seen += 1;
        });
        let window = values.iter().skip(from).take(len).flatten();
        assert_eq!(seen, window.count());
    }
});
