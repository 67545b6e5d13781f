mod faults;
mod model;
mod probe;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::domain::cell::{Cell, CellKey};
use crate::tier::testing::{
    Ignorance, SHAPE, cell, codec, day_of, forget, key, landed, purge, put,
};
use crate::tier::{Lease, Part, Shapes};

const HASTE: Pace = Pace {
    commit: Duration::from_millis(1),
    retry: (Duration::from_millis(10), Duration::from_millis(100)),
    read: Duration::from_mins(1),
    purge: Duration::from_mins(1),
};

fn settings(path: &Path, max_bytes: u64) -> Settings {
    Settings {
        path: path.to_owned(),
        max_bytes,
    }
}

/// A minute after all that is put.
fn clock() -> Clock {
    let now = cell(0, 60).fetched_at();
    Clock::from_fn(move || now)
}

fn open(path: &Path) -> Disk {
    Disk::at_pace(
        settings(path, 1 << 30),
        codec(),
        Arc::new(Ignorance),
        clock(),
        HASTE,
    )
}

/// Opens a folder that was closed. A program that another test is starting may have a copy of its lock for a moment.
async fn reopened(path: &Path) -> Disk {
    let disk = open(path);
    reaches(&disk, TierState::Open).await;
    disk
}

/// Waits until what was put so far is written.
async fn written(disk: &Disk) {
    let other = CellKey {
        customer: crate::domain::site::CustomerId::new(9).unwrap(),
        ..key(1, 0)
    };
    let nothing = Purge {
        customers: [other.customer].into(),
        sites: None,
        dates: None,
    };
    forget(disk, nothing).await.unwrap();
}

async fn get(disk: &Disk, key: CellKey) -> Option<Cell> {
    let kept = disk
        .read(
            vec![(SeriesMonth::of(&key), SHAPE)],
            &mut Patience::endless(),
        )
        .await;
    let [kept] = kept.try_into().unwrap();
    kept.get(key.date)
}

/// Waits until the disk is in that state.
async fn reaches(disk: &Disk, state: TierState) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while disk.state() != state {
        assert!(Instant::now() < deadline, "{:?}", disk.state());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_newest_cell_of_each_day_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/by/us");
    let disk = open(&path);
    put(
        &disk,
        landed([(key(1, 0), cell(1, 10)), (key(1, 1), cell(2, 10))]),
    );
    written(&disk).await;
    put(
        &disk,
        landed([(key(1, 1), cell(3, 9)), (key(1, 0), cell(4, 11))]),
    );
    put(&disk, landed([(key(2, 0), cell(5, 0))]));
    disk.close().await;
    drop(disk);

    let disk = reopened(&path).await;

    assert_eq!(get(&disk, key(1, 0)).await, Some(cell(4, 11)));
    assert_eq!(get(&disk, key(1, 1)).await, Some(cell(2, 10)));
    assert_eq!(get(&disk, key(2, 0)).await, Some(cell(5, 0)));
    assert_eq!(get(&disk, key(2, 1)).await, None);
    for file in std::fs::read_dir(&path).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn cells_of_another_clock_or_vendor_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    put(&disk, landed([(key(1, 0), cell(1, 0))]));
    written(&disk).await;

    let mut patience = Patience::endless();
    let other = disk.read(
        vec![(SeriesMonth::of(&key(1, 0)), MonthShape(8))],
        &mut patience,
    );
    assert_eq!(other.await, [Page::default()]);
    disk.close().await;
    let elsewhere = Codec::new("https://elsewhere.example/", b"");
    let settings = settings(folder.path(), 1 << 30);
    let disk = Disk::at_pace(settings, elsewhere, Arc::new(Ignorance), clock(), HASTE);
    assert_eq!(get(&disk, key(1, 0)).await, None);

    // A purge is of all that there is of a site, by whatever program and vendor.
    forget(&disk, purge(Some(1), None)).await.unwrap();
    disk.close().await;
    assert_eq!(get(&reopened(folder.path()).await, key(1, 0)).await, None);
}

#[tokio::test]
async fn cells_of_another_clock_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    put(
        &disk,
        landed([(key(1, 0), cell(1, 10)), (key(1, 1), cell(2, 10))]),
    );
    written(&disk).await;

    let shapes: Shapes = [(SeriesMonth::of(&key(1, 0)), MonthShape(8))]
        .into_iter()
        .collect();
    put(
        &disk,
        Landed {
            cells: vec![(key(1, 0), cell(3, 5))],
            shapes: Arc::new(shapes),
            lease: Lease::default(),
        },
    );
    written(&disk).await;

    assert_eq!(get(&disk, key(1, 0)).await, None);
    let month = SeriesMonth::of(&key(1, 0));
    let kept = disk
        .read(vec![(month, MonthShape(8))], &mut Patience::endless())
        .await;
    assert_eq!(kept, [Page::of([(day_of(0), cell(3, 5))])]);
}

#[tokio::test]
async fn a_purge_is_for_good_when_it_is_told_and_for_readers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let days = 0..60;
    put(
        &disk,
        landed(days.clone().map(|day| (key(1, day), cell(1, 0)))),
    );
    put(
        &disk,
        landed(days.clone().map(|day| (key(12, day), cell(2, 0)))),
    );
    written(&disk).await;
    // Put before the purge, and written after it.
    put(&disk, landed([(key(1, 20), cell(3, 1))]));

    let purging = forget(&disk, purge(Some(1), Some((5, 40))));
    let at_once = get(&disk, key(1, 20)).await;
    put(&disk, landed([(key(1, 30), cell(4, 2))]));
    purging.await.unwrap();
    let copied = copy(folder.path());

    assert_eq!(at_once, None);
    for disk in [&disk, &open(copied.path())] {
        for day in days.clone().filter(|day| *day != 30) {
            let left = (!(5..=40).contains(&day)).then(|| cell(1, 0));
            assert_eq!(get(disk, key(1, day)).await, left, "{day}");
            assert_eq!(get(disk, key(12, day)).await, Some(cell(2, 0)));
        }
    }
    written(&disk).await;
    assert_eq!(get(&disk, key(1, 30)).await, Some(cell(4, 2)));
}

/// The files that a process leaves behind if it is killed now.
fn copy(folder: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        // One that goes at this moment need not be there.
        let _ = std::fs::copy(file.path(), copied.path().join(file.file_name()));
    }
    copied
}

#[tokio::test]
async fn the_files_stay_below_their_bound_and_what_is_read_stays() {
    const MAX: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::at_pace(
        settings(folder.path(), MAX),
        codec(),
        Arc::new(Ignorance),
        clock(),
        HASTE,
    );
    put(
        &disk,
        landed([(key(1, 0), cell(1, 0)), (key(2, 0), cell(2, 0))]),
    );
    written(&disk).await;

    let mut largest = 0;
    for round in 0..40 {
        let sites = 1000 * (round + 1)..1000 * (round + 1) + 400;
        let cells = sites.flat_map(|site| (0..20).map(move |day| (key(site, day), cell(7, 0))));
        put(&disk, landed(cells));
        written(&disk).await;
        assert_eq!(get(&disk, key(1, 0)).await, Some(cell(1, 0)), "{round}");
        written(&disk).await;
        largest = largest.max(disk.shared.generations().unwrap().bytes());
    }

    assert!((MAX / 4..=MAX).contains(&largest), "{largest}");
    assert_eq!(get(&disk, key(2, 0)).await, None);
    assert_eq!(get(&disk, key(40_000, 3)).await, Some(cell(7, 0)));
    disk.close().await;
    assert_eq!(
        get(&reopened(folder.path()).await, key(1, 0)).await,
        Some(cell(1, 0))
    );
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let pace = Pace {
        commit: Duration::from_hours(1),
        ..HASTE
    };
    let disk = Disk::at_pace(
        settings(folder.path(), 1 << 30),
        codec(),
        Arc::new(Ignorance),
        clock(),
        pace,
    );
    put(&disk, landed([(key(1, 0), cell(1, 0))]));
    written(&disk).await;
    let much = landed((0..1).map(|_| (key(2, 0), cell(2, 0))));
    let fit = queue::MAX_BYTES / much.bytes() + 1;

    put(
        &disk,
        landed(std::iter::repeat_n((key(2, 0), cell(2, 0)), fit)),
    );
    put(&disk, landed([(key(3, 0), cell(3, 0))]));
    disk.close().await;

    let disk = open(folder.path());
    assert_eq!(get(&disk, key(2, 0)).await, None);
    assert_eq!(get(&disk, key(3, 0)).await, Some(cell(3, 0)));
}

/// Something learned, of one part.
#[derive(Debug, Default)]
struct Lesson {
    revision: AtomicU64,
    restored: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Lesson {
    fn learn(&self) {
        self.revision.fetch_add(1, Ordering::SeqCst);
    }
}

impl Knowledge for Lesson {
    fn changed(&self, known: &std::collections::HashMap<String, u64>) -> Vec<Part> {
        let revision = self.revision.load(Ordering::SeqCst);
        let part = Part {
            name: "names".to_owned(),
            revision,
            content: revision.to_string().into_bytes(),
        };
        let changed = known.get("names") != Some(&revision);
        changed.then_some(part).into_iter().collect()
    }

    fn written(&self, _: &Part) {}

    fn restore(&self, name: &str, content: &[u8]) -> bool {
        let mut restored = self.restored.lock();
        restored.push((name.to_owned(), content.to_owned()));
        true
    }
}

#[tokio::test]
async fn what_was_learned_is_there_whenever_the_cells_are() {
    const MAX: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let lesson = Arc::new(Lesson::default());
    let disk = Disk::at_pace(
        settings(folder.path(), MAX),
        codec(),
        lesson.clone(),
        clock(),
        HASTE,
    );
    assert_eq!(*lesson.restored.lock(), []);

    for site in 1..=30_u32 {
        lesson.learn();
        let cells = (0..400).map(|day| (key(site.into(), day), cell(1, 0)));
        put(&disk, landed(cells));
        written(&disk).await;

        if site % 10 == 0 {
            let copied = copy(folder.path());
            let again = Arc::new(Lesson::default());
            let settings = settings(copied.path(), MAX);
            Disk::at_pace(settings, codec(), again.clone(), clock(), HASTE);
            let restored = again.restored.lock();
            assert_eq!(
                *restored,
                [("names".to_owned(), site.to_string().into_bytes())]
            );
        }
    }
}
