use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::tier::testing::{SHAPE, cell, codec, key};

/// The bytes on disks and in stores out there. Where these change, so must a version.
const NAME: &str = "123.750:entrances:60:202602:1.1.b73f49f95ea76d93";
const PAGE: &str = concat!(
    "07000000",
    "02",
    "06000000",
    "40eb8c3dce490600",
    "40eb8c3dce490600",
    "00000010",
    "40f4c93dce490600",
    "40f4c93dce490600",
    "0800",
    "8218000900010003",
    "0700",
    "80180009000100",
    "0900",
    "891800090001002c01",
    "f0bcf8039ca7c26fc023149081fbead0",
);

fn page() -> (SeriesMonth, Vec<(Date, Cell)>) {
    let cells = [(0, 3, 5), (1, 0, 5), (27, 300, 9)];
    let cells = cells.map(|(day, figure, second)| (key(750, day).date, cell(figure, second)));
    (SeriesMonth::of(&key(750, 0)), cells.to_vec())
}

#[test]
fn the_bytes_of_a_page_are_these() {
    let (month, cells) = page();

    let name = codec().page_name(&month);
    let bytes = codec().encode(&name, SHAPE, &cells);

    assert_eq!((&*name, &*hex::encode(&bytes)), (NAME, PAGE));
    assert_eq!(
        codec().decode(&month, &name, SHAPE, &bytes),
        Decoded::Page(Page::of(cells))
    );
}

#[test]
fn a_page_is_read_by_nobody_else_and_under_no_other_name() {
    let (month, cells) = page();
    let name = codec().page_name(&month);
    let bytes = codec().encode(&name, SHAPE, &cells);

    let other_vendor = Codec::new("https://other.example/", b"");
    assert_ne!(other_vendor.page_name(&month), name);
    let other_secret = Codec::new("https://vendor.example/", b"other");
    let decoded = other_secret.decode(&month, &name, SHAPE, &bytes);
    assert_eq!(decoded, Decoded::Corrupt);
    let moved = SeriesMonth {
        year: 2025,
        ..month
    };
    let decoded = codec().decode(&moved, &codec().page_name(&moved), SHAPE, &bytes);
    assert_eq!(decoded, Decoded::Corrupt);
    let decoded = codec().decode(&month, &name, MonthShape(8), &bytes);
    assert_eq!(decoded, Decoded::OtherShape);
}

#[test]
fn a_page_without_some_days_keeps_the_others() {
    let (month, mut cells) = page();
    let name = codec().page_name(&month);
    let bytes = codec().encode(&name, SHAPE, &cells);

    let rest = codec().without(&name, &bytes, |day, _| day == date(2026, 2, 2));

    cells.remove(1);
    let decoded = codec().decode(&month, &name, SHAPE, &rest.unwrap());
    assert_eq!(decoded, Decoded::Page(Page::of(cells)));
    assert_eq!(codec().without(&name, &bytes, |_, _| true), None);
    let newest = cell(0, 9).fetched_at();
    assert!(!Codec::is_later(&bytes, newest));
    assert!(Codec::is_later(&bytes, cell(0, 8).fetched_at()));
}

proptest! {
    #[test]
    fn a_page_comes_back_as_it_was_or_not_at_all(
        cells in prop::collection::btree_map(0_i32..28, (any::<u32>(), 0_i64..3), 0..28),
        change in prop::option::of((any::<prop::sample::Index>(), 1_u8..)),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let month = SeriesMonth::of(&key(750, 0));
        let cells: Vec<_> = cells
            .into_iter()
            .map(|(day, (figure, second))| (key(750, day).date, cell(figure, second)))
            .collect();
        let name = codec().page_name(&month);
        let mut bytes = codec().encode(&name, SHAPE, &cells);
        if let Some((at, by)) = change {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }

        let decoded = codec().decode(&month, &name, SHAPE, &bytes);

        if change.is_none() && cut.is_none() {
            prop_assert_eq!(decoded, Decoded::Page(Page::of(cells)));
        } else {
            prop_assert_eq!(decoded, Decoded::Corrupt);
        }
    }

    /// The tag is made anew here, as by one who knows the key: what is then read is still within the month.
    #[test]
    fn a_decoder_takes_any_content_without_a_panic(
        content in prop::collection::vec(any::<u8>(), 0..80),
        ages in prop::collection::vec((any::<u32>(), any::<i64>(), any::<i64>()), 0..3),
    ) {
        let month = SeriesMonth::of(&key(750, 0));
        let name = codec().page_name(&month);
        let mut made = SHAPE.0.to_le_bytes().to_vec();
        made.push(u8::try_from(ages.len()).unwrap());
        for (days, fetched_at, computed_at) in ages {
            made.extend(days.to_le_bytes());
            made.extend(fetched_at.to_le_bytes());
            made.extend(computed_at.to_le_bytes());
        }
        made.extend(content);
        let bytes = codec().seal(&name, made);

        if let Decoded::Page(page) = codec().decode(&month, &name, SHAPE, &bytes) {
            prop_assert_eq!(page.days() & !month.days(), 0);
            for (_, cell) in page.cells(|day| month.date(day)) {
                prop_assert!(cell.figures().iter().flatten().all(f64::is_finite));
            }
        }
    }
}
