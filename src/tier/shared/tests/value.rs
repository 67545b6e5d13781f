//! The encoding of a page in the store.

use std::collections::BTreeMap;

use super::*;

/// The bytes between the revision and the codec's page, as deployed stores hold them. If they change, a version must change too.
const HEAD: &str = concat!(
    "04030201",
    "02",
    "2900000000000000",
    "0a000000",
    "2a00000000000000",
    "10000000",
);
const NAME: &str = "test:{123.750}:entrances:60:202602:1.1.b73f49f95ea76d93";

#[tokio::test]
async fn the_bytes_of_a_value_are_these() {
    let Some(redis) = Redis::start(&[]) else {
        return;
    };
    let replica = replica(&redis, Clock::system()).await;
    let core = &replica.core;
    let month = SeriesMonth::of(&key(750, 0));
    let cells = [(0, 41), (2, 41), (3, 42)];
    let cells = cells.map(|(day, epoch)| (day_of(day), (cell(7, 5), epoch)));
    let cells = BTreeMap::from(cells);

    let value = core.encode(NAME, SHAPE, 0x0102_0304, &cells);

    let page = cells.iter().map(|(date, (cell, _))| (*date, cell.clone()));
    let page = codec().encode(NAME, SHAPE, &page.collect::<Vec<_>>());
    let content = codec().open(NAME, &value).unwrap();
    assert_eq!(
        hex::encode(&content[8..]),
        HEAD.to_owned() + &hex::encode(page)
    );
    let read = core
        .decode(&month, &core.key(&month), SHAPE, &value)
        .unwrap();
    assert_eq!(read.incarnation, 0x0102_0304);
    assert_eq!(read.cells(&month, |_| u32::MAX), cells);
}
