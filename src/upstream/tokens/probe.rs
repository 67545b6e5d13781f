//! Check of the token store, made before any token depends on it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::RngCore;

use super::store::{MAX_BYTES, Store, private};

/// Bytes of the trial file: more than any known vendor's tokens, and random, so that no file system can compress them.
const PROBE_BYTES: usize = 16 << 10;
const STICKY: u32 = 0o1000;

/// Why a file cannot be the token store.
#[derive(Debug, thiserror::Error)]
#[error("{path:?} cannot keep the tokens: {reason}")]
pub struct UnusableStore {
    path: PathBuf,
    reason: String,
}

/// Checks that the file at `path` can keep tokens: writes, syncs, renames and removes a file of another name in its folder.
///
/// It touches neither an existing store nor the files beside it, so another process may use them meanwhile. What it cannot try without
/// touching them, it judges by their metadata.
///
/// # Errors
///
/// The reason, in a sentence that names the path.
pub fn check_token_store(path: &Path) -> Result<(), UnusableStore> {
    check(path).map_err(|reason| UnusableStore {
        path: path.to_owned(),
        reason,
    })
}

fn check(path: &Path) -> Result<(), String> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err("it names a folder; name a file in it".to_owned());
    }
    let leads_nowhere = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    if is_there(path)? && fs::metadata(path).is_err_and(leads_nowhere) {
        return Err("it is a link that leads nowhere".to_owned());
    }
    let store = Store::new(path.to_owned());
    let file = readable(store.path())?;
    let newer = store.newer();
    if is_there(&newer)? && fs::symlink_metadata(&newer).is_ok_and(|it| it.is_dir()) {
        let newer = quoted(&newer);
        return Err(format!("{newer}, the file to write first, is a folder"));
    }
    let lock = store.lock_file();
    if is_there(&lock)? {
        let is_file = fs::metadata(&lock).is_ok_and(|it| it.is_file());
        if !is_file || OpenOptions::new().write(true).open(&lock).is_err() {
            let lock = quoted(&lock);
            return Err(format!(
                "{lock}, the lock of the processes that share it, cannot be opened"
            ));
        }
    }
    let probe = written_and_renamed(store.folder())?;
    match file {
        Some(file) => replaceable(store.folder(), &file, &probe),
        None => Ok(()),
    }
}

/// `path` on one line, even if it contains line breaks.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// Whether anything is at `path`, including a link.
fn is_there(path: &Path) -> Result<bool, String> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{} cannot be reached: {error}", quoted(path))),
    }
}

/// Metadata of the file at `path`, if there is one; opens no device or pipe.
fn readable(path: &Path) -> Result<Option<Metadata>, String> {
    if !is_there(path)? {
        return Ok(None);
    }
    let unreadable = |error| format!("it cannot be read: {error}");
    let file = fs::metadata(path).map_err(unreadable)?;
    if file.is_dir() {
        return Err("it is a folder; name a file in it".to_owned());
    }
    if !file.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if file.len() > MAX_BYTES {
        return Err(format!(
            "it is longer than {MAX_BYTES} bytes, so it is not a token store"
        ));
    }
    File::open(path).map_err(unreadable)?;
    Ok(Some(file))
}

/// Writes, syncs and renames a file of another name, like a save of the store, and removes it.
fn written_and_renamed(folder: &Path) -> Result<Metadata, String> {
    let number: u64 = rand::random();
    let first = folder.join(format!(".pitaya-probe-{number:016x}"));
    let second = folder.join(format!(".pitaya-probe-{number:016x}-renamed"));
    let fails = |what: &'static str| {
        let folder = quoted(folder);
        move |error| format!("a file in {folder} cannot be {what}: {error}")
    };
    let tried = || {
        let mut content = vec![0; PROBE_BYTES];
        rand::rng().fill_bytes(&mut content);
        let mut file = private(OpenOptions::new().write(true).create_new(true))
            .open(&first)
            .map_err(fails("created"))?;
        file.write_all(&content).map_err(fails("written"))?;
        file.sync_all().map_err(fails("synced"))?;
        let probe = file.metadata().map_err(fails("inspected"))?;
        fs::rename(&first, &second).map_err(fails("renamed"))?;
        let folder = File::open(folder).and_then(|folder| folder.sync_all());
        folder.map_err(fails("synced with its folder"))?;
        Ok(probe)
    };
    let outcome = tried();
    for left in [first, second] {
        // One of them does not exist, and a failure to remove the other is not part of this check.
        let _ = fs::remove_file(left);
    }
    outcome
}

/// Checks that another file can be renamed over `file`; `probe` is one of our own in the same `folder`.
fn replaceable(folder: &Path, file: &Metadata, probe: &Metadata) -> Result<(), String> {
    if file.dev() != probe.dev() {
        return Err(
            "it is mounted by itself, so no newer file can be renamed over it; mount its folder"
                .to_owned(),
        );
    }
    let folder = fs::metadata(folder).map_err(|error| error.to_string())?;
    let own = [0, file.uid(), folder.uid()].contains(&probe.uid());
    if folder.mode() & STICKY != 0 && !own {
        return Err(
            "it belongs to another user, in a folder where only that user may replace it"
                .to_owned(),
        );
    }
    Ok(())
}
