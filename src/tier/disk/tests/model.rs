//! Whatever is put, purged, killed and opened again, in whatever order: what is read is what a map would have.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tier::Patience;
use crate::tier::testing::Memory;

#[derive(Clone, Debug)]
enum Step {
    Put {
        site: u64,
        day: i32,
        figure: u32,
        second: i64,
    },
    Purge {
        site: Option<u64>,
        days: Option<(i32, i32)>,
    },
    /// Forgets what was asked for later than that second.
    SetBack {
        second: i64,
    },
    Reopen,
    /// Goes on with what a kill would have left.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let days = prop::option::of((0..40_i32, 0..40_i32).prop_map(|(a, b)| (a.min(b), a.max(b))));
    prop_oneof![
        12 => (1..3_u64, 0..40_i32, 0..9_u32, 0..4_i64)
            .prop_map(|(site, day, figure, second)| Step::Put { site, day, figure, second }),
        3 => (prop::option::of(1..3_u64), days).prop_map(|(site, days)| Step::Purge { site, days }),
        1 => (0..4_i64).prop_map(|second| Step::SetBack { second }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

async fn all(tier: &dyn Tier) -> BTreeMap<CellKey, Cell> {
    let months = [(1, 0), (1, 30), (2, 0), (2, 30)];
    let months = months.map(|(site, day)| SeriesMonth::of(&key(site, day)));
    let kept = tier
        .read(
            months.iter().map(|month| (*month, SHAPE)).collect(),
            &mut Patience::endless(),
        )
        .await;
    let cells = months.iter().zip(kept);
    cells
        .flat_map(|(month, kept)| {
            let cells = kept.cells(|day| month.date(day));
            let cells = cells.map(|(date, cell)| (month.cell(date), cell));
            cells.collect::<Vec<_>>()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_disk_has_what_was_put_and_not_purged(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut folder = tempfile::tempdir().unwrap();
            let mut disk = open(folder.path());
            let model = Memory::default();
            for step in steps {
                match step {
                    Step::Put { site, day, figure, second } => {
                        let landed = landed([(key(site, day), cell(figure, second))]);
                        put(&disk, landed.clone());
                        put(&model, landed);
                    }
                    Step::Purge { site, days } => {
                        let _done = forget(&model, purge(site, days)).await;
                        prop_assert_eq!(forget(&disk, purge(site, days)).await, Ok(()));
                        // The next cells are put after the commit, and are not there yet.
                        prop_assert_eq!(all(&disk).await, all(&model).await);
                    }
                    Step::SetBack { second } => {
                        // Else a cell of the future goes before it has replaced an older one, which then stays.
                        written(&disk).await;
                        let time = cell(0, second).fetched_at();
                        disk.forget_later_than(time);
                        model.forget_later_than(time);
                    }
                    Step::Reopen => {
                        disk.close().await;
                        disk = reopened(folder.path()).await;
                        prop_assert_eq!(all(&disk).await, all(&model).await);
                    }
                    Step::Kill => {
                        written(&disk).await;
                        let copied = copy(folder.path());
                        disk = reopened(copied.path()).await;
                        folder = copied;
                        prop_assert_eq!(all(&disk).await, all(&model).await);
                    }
                }
            }
            written(&disk).await;
            prop_assert_eq!(all(&disk).await, all(&model).await);
            Ok(())
        })?;
    }
}
