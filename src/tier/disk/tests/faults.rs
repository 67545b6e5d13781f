//! Files and file systems that fail.

use std::fs;
use std::process::Command;

use super::*;

/// Cells that say where they belong, so that a wrong one is seen: of some sites, over two months.
fn cells() -> impl Iterator<Item = (CellKey, Cell)> {
    let sites = 1..200_u32;
    sites.flat_map(|site| {
        (0..40).map(move |day| {
            (
                key(site.into(), day),
                cell(site * 100 + day.unsigned_abs(), 0),
            )
        })
    })
}

/// How many of the cells are there; none is another one.
async fn right(disk: &Disk) -> usize {
    let months: Vec<_> = (1..200)
        .flat_map(|site| [0, 30].map(|day| (SeriesMonth::of(&key(site, day)), SHAPE)))
        .collect();
    let kept = disk.read(months.clone(), &mut Patience::endless()).await;
    let expected: std::collections::HashMap<_, _> = cells().collect();
    let mut found = 0;
    for ((month, _), kept) in months.iter().zip(kept) {
        for (date, cell) in kept.cells(|day| month.date(day)) {
            assert_eq!(expected.get(&month.cell(date)), Some(&cell));
            found += 1;
        }
    }
    found
}

async fn full(folder: &Path) -> usize {
    let disk = open(folder);
    put(&disk, landed(cells()));
    written(&disk).await;
    let all = right(&disk).await;
    disk.close().await;
    all
}

/// It opens, has no wrong cell, and keeps what is put from now on.
async fn goes_on(folder: &Path) -> usize {
    let disk = reopened(folder).await;
    let found = right(&disk).await;
    // Broken pages may turn out to be so only now.
    reaches(&disk, TierState::Open).await;
    put(&disk, landed([(key(500, 0), cell(5, 0))]));
    written(&disk).await;
    put(&disk, landed([(key(501, 0), cell(6, 0))]));
    written(&disk).await;
    assert_eq!(get(&disk, key(501, 0)).await, Some(cell(6, 0)));
    disk.close().await;
    found
}

#[tokio::test]
async fn a_file_that_was_cut_or_is_none_of_ours_is_renamed_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let all = full(folder.path()).await;
    assert_eq!(all, cells().count());
    let whole = fs::read(folder.path().join("cells.a")).unwrap();

    for left in [1, 300, 4096, whole.len() / 2, whole.len() - 4096] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cells.a");
        fs::write(&file, &whole[..left]).unwrap();
        assert!(goes_on(folder.path()).await < all, "{left}");
        assert!(folder.path().join("cells.broken").exists(), "{left}");
    }
    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("cells.b"), "SQLite format 3").unwrap();
    assert_eq!(goes_on(foreign.path()).await, 0);
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("cells.a"), "").unwrap();
    assert_eq!(goes_on(empty.path()).await, 0);
}

#[tokio::test]
async fn noise_in_a_file_never_becomes_a_figure() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path()).await;
    let whole = fs::read(folder.path().join("cells.a")).unwrap();

    for seed in 0..12_usize {
        let mut noisy = whole.clone();
        for nth in 0..7 {
            let at = (seed * 7 + nth) * 48_271 % (whole.len() - 4096);
            // The first page is what the engine itself checks when it opens the file.
            for (offset, byte) in noisy[at..at + 2000].iter_mut().enumerate() {
                *byte ^= u8::try_from((offset * 31 + seed) % 256).unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cells.a"), noisy).unwrap();
        goes_on(folder.path()).await;
    }
}

#[tokio::test]
async fn a_copy_taken_while_it_is_written_has_no_wrong_cell() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let all: Vec<_> = cells().collect();
    for part in all.chunks(all.len() / 16) {
        put(&disk, landed(part.iter().cloned()));
        let copied = copy(folder.path());
        goes_on(copied.path()).await;
    }
}

#[tokio::test]
async fn a_second_process_runs_without_until_the_first_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    put(&first, landed([(key(1, 0), cell(1, 0))]));
    written(&first).await;

    let second = open(folder.path());
    assert_eq!(second.state(), TierState::WaitingForLock);
    assert_eq!(get(&second, key(1, 0)).await, None);
    put(&second, landed([(key(1, 0), cell(2, 5))]));
    assert_eq!(forget(&second, purge(Some(2), None)).await, Err(Away));
    put(&first, landed([(key(2, 0), cell(3, 0))]));
    first.close().await;
    reaches(&second, TierState::Open).await;
    written(&second).await;

    assert_eq!(get(&second, key(1, 0)).await, Some(cell(1, 0)));
    assert_eq!(
        get(&second, key(2, 0)).await,
        None,
        "the purge was still to be done"
    );
}

#[tokio::test]
async fn what_was_learned_does_not_come_back_after_a_purge_that_had_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let lesson = Arc::new(Lesson::default());
    let first = Disk::at_pace(
        settings(folder.path(), 1 << 30),
        codec(),
        lesson,
        clock(),
        HASTE,
    );
    put(&first, landed([(key(1, 0), cell(1, 0))]));
    written(&first).await;
    let lesson = Arc::new(Lesson::default());
    let second = settings(folder.path(), 1 << 30);
    let second = Disk::at_pace(second, codec(), lesson.clone(), clock(), HASTE);

    forget(&second, purge(Some(1), None)).await.unwrap_err();
    first.close().await;
    reaches(&second, TierState::Open).await;

    assert_eq!(*lesson.restored.lock(), []);
}

/// Runs the ignored test of that name in a small file system of its own; `script` prepares it.
fn in_a_small_file_system(test: &str, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let test = format!("tier::disk::tests::faults::{test}");
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs {folder} || exit 77; cd {folder} && {script}",
        folder = folder.path().display(),
    );
    let unshared = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &test])
        .output();
    match unshared {
        Ok(done) if done.status.success() => {
            let told = String::from_utf8_lossy(&done.stdout);
            assert!(told.contains("1 passed"), "{told}");
        }
        Ok(done) if String::from_utf8_lossy(&done.stdout).contains("running 1 test") => panic!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        ),
        _ => eprintln!("SKIPPED: {test} needs a file system of its own, by `unshare`"),
    }
}

#[test]
fn a_full_disk_stops_nothing_and_is_used_again_when_there_is_room() {
    in_a_small_file_system("full_disk", r#"mkdir cache && exec "$@""#);
}

#[tokio::test]
#[ignore = "needs a small file system as its folder"]
async fn full_disk() {
    let disk = open(Path::new("cache"));
    put(
        &disk,
        landed([(key(1, 0), cell(1, 0)), (key(2, 0), cell(2, 0))]),
    );
    written(&disk).await;
    fill("rest");

    let sites = 1000..1200;
    let cells = sites.flat_map(|site| (0..28).map(move |day| (key(site, day), cell(7, 0))));
    put(&disk, landed(cells));
    reaches(&disk, TierState::Away).await;
    // It is emptied for the purge, which the system can always do.
    forget(&disk, purge(Some(1), None)).await.unwrap();
    assert_eq!(get(&disk, key(1, 0)).await, None);

    fs::remove_file("rest").unwrap();
    reaches(&disk, TierState::Open).await;
    put(&disk, landed([(key(2, 1), cell(3, 0))]));
    written(&disk).await;
    assert_eq!(get(&disk, key(2, 1)).await, Some(cell(3, 0)));
    assert_eq!(get(&disk, key(1, 0)).await, None);
    disk.close().await;
    let again = reopened(Path::new("cache")).await;
    assert_eq!(get(&again, key(2, 1)).await, Some(cell(3, 0)));
}

#[test]
fn a_disk_that_stays_full_stays_away() {
    in_a_small_file_system("full_for_long", r#"mkdir cache && exec "$@""#);
}

#[tokio::test]
#[ignore = "needs a small file system as its folder"]
async fn full_for_long() {
    let disk = open(Path::new("cache"));
    put(&disk, landed([(key(1, 0), cell(1, 0))]));
    written(&disk).await;
    fill("rest");
    let many = || {
        let sites = 1000..1200;
        landed(sites.flat_map(|site| (0..28).map(move |day| (key(site, day), cell(7, 0)))))
    };
    put(&disk, many());
    reaches(&disk, TierState::Away).await;

    // Longer than the longest pause: it tries to open several times meanwhile.
    for _ in 0..150 {
        put(&disk, many());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(disk.state(), TierState::Away);
    }

    fs::remove_file("rest").unwrap();
    reaches(&disk, TierState::Open).await;
    put(&disk, many());
    written(&disk).await;
    assert_eq!(get(&disk, key(1000, 0)).await, Some(cell(7, 0)));
    assert!(!Path::new("cache/trial").exists());
}

/// Takes all the room that there is.
fn fill(name: &str) {
    use std::io::Write;
    let mut file = fs::File::create(name).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
}

#[test]
fn a_folder_that_cannot_be_written_is_none() {
    let script = r#"mkdir cache && mount -o remount,ro . && exec "$@""#;
    in_a_small_file_system("read_only", script);
}

#[tokio::test]
#[ignore = "needs a file system that cannot be written as its folder"]
async fn read_only() {
    let disk = open(Path::new("cache"));

    assert_eq!(disk.state(), TierState::Away);
    put(&disk, landed([(key(1, 0), cell(1, 0))]));
    assert_eq!(get(&disk, key(1, 0)).await, None);
    assert_eq!(forget(&disk, purge(None, None)).await, Err(Away));
    disk.close().await;
}
