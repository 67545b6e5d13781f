//! Vendors with random combinations of quirks that change no figure.

use pitaya::simulator::{Mapping, Quirks, Respelt, RowOrder};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

const MAPPINGS: [Mapping; 7] = [
    Mapping::Names,
    Mapping::NamedObjects,
    Mapping::Entities,
    Mapping::EntityTexts,
    Mapping::ContraryNames,
    Mapping::ContraryEntities,
    Mapping::Empty,
];
const RESPELT: [Respelt; 6] = [
    Respelt::Nothing,
    Respelt::RegionOrder,
    Respelt::Regions,
    Respelt::Filter,
    Respelt::Name,
    Respelt::FieldOrder,
];

/// Random quirks, determined by `seed`. The `namesakes` may share a name.
pub fn odd_quirks(seed: u64, namesakes: [u64; 2]) -> Quirks {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut quirks = Quirks {
        mapping: *MAPPINGS.choose(&mut random).unwrap(),
        regions: random.random_range(1..4),
        respelt: *RESPELT.choose(&mut random).unwrap(),
        ..Quirks::default()
    };
    for switch in [
        &mut quirks.floats,
        &mut quirks.omit_nulls,
        &mut quirks.region_entities,
        &mut quirks.metric_rows,
        &mut quirks.repeated_rows,
        &mut quirks.extra_fields,
        &mut quirks.outside_rows,
        &mut quirks.escapes,
        &mut quirks.gzip,
    ] {
        *switch = random.random();
    }
    if random.random() {
        quirks.order = RowOrder::Shuffled;
    }
    if random.random_ratio(1, 4) {
        quirks.names = namesakes.map(|site| (site, "Store".to_owned())).into();
    }
    quirks
}
