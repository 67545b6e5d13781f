use std::fs;

use super::*;

#[test]
fn a_folder_that_can_be_used_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not/there/yet");

    check_folder(folder.path()).unwrap();
    check_folder(&missing).unwrap();

    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_a_process_uses_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());

    check_folder(folder.path()).unwrap();

    put(&disk, landed([(key(1, 0), cell(1, 0))]));
    written(&disk).await;
    assert_eq!(get(&disk, key(1, 0)).await, Some(cell(1, 0)));
}

#[test]
fn what_cannot_be_used_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("cells.b")).unwrap();
    let lost = folder.path().join("lost");
    std::os::unix::fs::symlink("nowhere", &lost).unwrap();

    for path in [
        &*file,
        &file.join("below"),
        &taken,
        &lost,
        Path::new("/proc/none"),
    ] {
        let told = check_folder(path).unwrap_err().to_string();
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert!(!told.contains('\n'), "{told}");
    }
}
