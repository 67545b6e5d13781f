//! Checks that a folder can keep cells, by trying before the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::folder::{files, incompressible};

/// Number of bytes written as a trial.
const PROBE_BYTES: usize = 16 << 10;

/// Reason why a folder cannot keep cells.
#[derive(Debug, thiserror::Error)]
#[error("{path:?} cannot keep the cache: {reason}")]
pub struct UnusableFolder {
    path: PathBuf,
    reason: String,
}

/// Checks that the folder at `path` can keep cells: it writes, syncs, renames and removes a file there. It makes a missing folder and
/// removes it again. It leaves existing files alone, since another process may use them.
///
/// # Errors
///
/// The reason, in a sentence that names the path.
pub fn check_folder(path: &Path) -> Result<(), UnusableFolder> {
    match tried(path) {
        // A full disk is no fault: there may be room again later, and the files that fill it may be our own.
        Err(Failed(what, error)) if error.kind() != io::ErrorKind::StorageFull => {
            Err(UnusableFolder {
                path: path.to_owned(),
                reason: format!("{what}: {error}"),
            })
        }
        _ => Ok(()),
    }
}

/// The failed step, and the error.
struct Failed(String, io::Error);

fn tried(path: &Path) -> Result<(), Failed> {
    let made = make(path)?;
    let tried = usable(path).and_then(|()| written_and_renamed(path));
    for folder in made {
        // If another process has begun to use it, it is not empty.
        let _ = fs::remove_dir(folder);
    }
    tried
}

/// Makes the folder and its parents; returns those that were missing, innermost first.
fn make(path: &Path) -> Result<Vec<&Path>, Failed> {
    let missing = path.ancestors();
    let missing = missing.take_while(|path| {
        !path.as_os_str().is_empty()
            && fs::symlink_metadata(path).is_err_and(|it| it.kind() == io::ErrorKind::NotFound)
    });
    let missing: Vec<&Path> = missing.collect();
    for (nth, folder) in missing.iter().enumerate().rev() {
        let made = fs::create_dir(folder);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            for made in &missing[nth + 1..] {
                let _ = fs::remove_dir(made);
            }
            return Err(Failed("it is missing and cannot be made".to_owned(), error));
        }
    }
    match fs::metadata(path) {
        Ok(folder) if folder.is_dir() => Ok(missing),
        Ok(_) => Err(Failed(
            "it cannot be used".to_owned(),
            io::Error::other("no folder"),
        )),
        Err(error) => Err(Failed("it cannot be reached".to_owned(), error)),
    }
}

/// Whether existing files with our names can be read and written.
fn usable(path: &Path) -> Result<(), Failed> {
    for file in files(path) {
        let fails = |what: &'static str| {
            let file = file.to_string_lossy().into_owned();
            move |error| Failed(format!("{file:?}, which is in it, {what}"), error)
        };
        match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fails("cannot be reached")(error)),
            // This never opens a device or pipe.
            Ok(it) if !it.is_file() => {
                return Err(fails("cannot be opened")(io::Error::other(
                    "no regular file",
                )));
            }
            Ok(_) => {}
        }
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).open(&file);
        opened.map_err(fails("cannot be opened"))?;
    }
    Ok(())
}

fn written_and_renamed(folder: &Path) -> Result<(), Failed> {
    let number: u64 = rand::random();
    let first = folder.join(format!(".pitaya-probe-{number:016x}"));
    let second = folder.join(format!(".pitaya-probe-{number:016x}-renamed"));
    let fails =
        |what: &'static str| move |error| Failed(format!("a file in it cannot be {what}"), error);
    let tried = || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&first);
        let mut file = file.map_err(fails("created"))?;
        file.write_all(&incompressible(PROBE_BYTES))
            .map_err(fails("written"))?;
        file.sync_all().map_err(fails("synced"))?;
        fs::rename(&first, &second).map_err(fails("renamed"))?;
        let folder = File::open(folder).and_then(|folder| folder.sync_all());
        folder.map_err(fails("synced with its folder"))
    };
    let outcome = tried();
    for left in [first, second] {
        // One of the two names does not exist, and the result of removing the other does not matter.
        let _ = fs::remove_file(left);
    }
    outcome
}
