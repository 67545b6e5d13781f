//! Series by the values of a tag: each equals the combination of its sites.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use pitaya::domain::comparison::{Comparison, Mode, Shift};
use pitaya::domain::freshness::Policy;
use pitaya::domain::query::{GroupBy, Grouping, Include, Query};
use pitaya::domain::rollup::{States, roll_up_with_totals, total_of};
use pitaya::domain::table::{Group, Table, Value as Cell};
use proptest::prelude::*;

use crate::rollup::{later, query, world};

/// The tag's value at each site: one letter, or none.
fn grouping(query: &Query, values: &[Option<char>]) -> Grouping {
    let value_of = |place: usize| values[place % values.len()];
    let mut known: Vec<Option<char>> = (0..query.sites.len()).map(value_of).collect();
    // `None` is the lowest value, but its series comes last.
    known.sort_by_key(|value| (value.is_none(), *value));
    known.dedup();
    let places = |value: &Option<char>| {
        let places = (0..query.sites.len()).filter(|place| value_of(*place) == *value);
        places.collect()
    };
    Grouping {
        key: "region".into(),
        sites: known.iter().map(places).collect(),
        values: known
            .iter()
            .map(|value| value.map(|value| Arc::from(value.to_string())))
            .collect(),
    }
}

/// The content of a row, apart from its series.
type Shown = (DateTime, Vec<Option<f64>>, Option<f64>, Vec<Option<Cell>>);

fn shown(table: &Table, group: usize) -> Vec<Shown> {
    let rows = table.rows().filter(|row| row.group == group);
    rows.map(|row| {
        let extras = table.extras().iter().map(|extra| extra.value(&row));
        (
            table.times()[row.time],
            row.values().collect(),
            row.coverage(),
            extras.collect(),
        )
    })
    .collect()
}

/// The rows of a query, and the totals of its series.
fn rolled(query: &Query, base: u16, seed: u64) -> (Table, Table) {
    let (plan, grid, days) = world(query, base, seed);
    let rolled = roll_up_with_totals(query, &plan, &grid, &days, later());
    let (mut rows, mut totals) = (rolled.table, rolled.totals.unwrap().series);
    let day = Duration::from_hours(24);
    let policy = Policy {
        open_ttl: day,
        settling_ttl: day,
        settle_after: day,
        final_ttl: day,
        stale_while_revalidate: day,
        stale_if_error: day,
    };
    for (query, table) in [
        (query, &mut rows),
        (&total_of(query, query.group_by.clone()), &mut totals),
    ] {
        let (plan, grid, days, policy) = (&plan, &grid, &days, &policy);
        let now = later();
        let states = States {
            query,
            plan,
            grid,
            days,
            policy,
            now,
        };
        states.tell(table);
    }
    (rows, totals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_series_equals_its_sites_combined(
        query in query(),
        profile in prop::option::of(prop::sample::select(vec!["hour_of_day", "day_of_week", "hour_of_week"])),
        values in prop::collection::vec(prop::option::of(prop::char::range('a', 'c')), 1..4),
        min_coverage in prop::sample::select(vec!["0", "0.5", "1"]),
        compares in any::<bool>(),
        base in prop::sample::select(vec![5_u16, 15, 60]),
        seed in 0_u64..1000,
    ) {
        let grouping = Arc::new(grouping(&query, &values));
        let compare = Comparison::new(Mode::PreviousWeek, query.dates, Shift::Days(-7), None);
        let query = Query {
            group_by: GroupBy::Tag(Arc::clone(&grouping)),
            bucket: profile.map_or(query.bucket, |profile| profile.parse().unwrap()),
            compare: compare.filter(|_| compares),
            include: Include { coverage: true, totals: true, period: profile.is_none() },
            min_coverage: if profile.is_none() { min_coverage.parse().unwrap() } else { "0".parse().unwrap() },
            ..query
        };

        let (rows, totals) = rolled(&query, base, seed);

        prop_assert_eq!(rows.groups().len(), grouping.values.len());
        for (series, (value, places)) in grouping.values.iter().zip(&grouping.sites).enumerate() {
            let alone = Query {
                sites: places.iter().map(|place| query.sites[*place]).collect(),
                group_by: GroupBy::None,
                ..query.clone()
            };
            let (own, total) = rolled(&alone, base, seed);
            let group = Group::Tag { key: "region".into(), value: value.clone() };
            prop_assert_eq!(&rows.groups()[series], &group);
            prop_assert_eq!(shown(&rows, series), shown(&own, 0));
            prop_assert_eq!(shown(&totals, series), shown(&total, 0));
        }
    }
}
