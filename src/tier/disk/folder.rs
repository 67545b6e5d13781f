//! The folder: two generations. When the young one is full, the old one goes.
//!
//! Pages are written to the young generation and read from both. A page read from the old one is written to the young one again, so
//! unread pages go first without a search for them. Pitaya renames a broken or foreign file, and does not read it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::RngCore;

use super::fault::Fault;
use super::generation::{Entries, Generation};

/// Names of the two files, in no order.
const NAMES: [&str; 2] = ["cells.a", "cells.b"];
/// Name of the last broken file, kept for inspection.
const BROKEN: &str = "cells.broken";
/// Name of the file that a process locks while it holds the folder.
const LOCK: &str = "lock";
/// Name of the file that tries whether there is room again.
const TRIAL: &str = "trial";

/// All our file names in a folder.
pub(super) fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let names = NAMES.iter().chain([&LOCK]);
    names.map(|name| folder.join(name))
}

/// The open generations.
#[derive(Clone, Debug)]
pub(super) struct Generations {
    /// The generation for reads and writes.
    pub(super) young: Arc<Generation>,
    /// The generation for reads only.
    pub(super) old: Option<Arc<Generation>>,
}

impl Generations {
    /// Both, the old one first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Generation>> {
        self.old.iter().chain([&self.young])
    }

    /// Bytes that they take on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.all().map(|generation| generation.bytes()).sum()
    }
}

/// The folder, while this process holds it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder at `path` for this process, and makes it if it is missing.
    pub(super) fn take(path: &Path) -> Result<Self, Fault> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).mode(0o600);
        let lock = options.truncate(false).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {
                // A process that was killed may have left it.
                let _ = fs::remove_file(path.join(TRIAL));
                Ok(Self {
                    path: path.to_owned(),
                    _lock: lock,
                })
            }
            Err(TryLockError::WouldBlock) => Err(Fault::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Checks that `bytes` more can be written here.
    pub(super) fn has_room(&self, bytes: usize) -> Result<(), Fault> {
        if bytes == 0 {
            return Ok(());
        }
        let path = self.path.join(TRIAL);
        let tried = File::create(&path).and_then(|mut file| {
            file.write_all(&incompressible(bytes))?;
            file.sync_all()
        });
        let _ = fs::remove_file(&path);
        Ok(tried?)
    }

    /// Opens the existing generations, or makes a first one.
    pub(super) fn open(&self) -> Result<Generations, Fault> {
        let mut found: Vec<Generation> = Vec::new();
        for name in NAMES {
            let path = self.path.join(name);
            if !path.try_exists()? {
                continue;
            }
            match Generation::open(&path) {
                Ok(generation) => found.push(generation),
                Err(Fault::Broken { path, why }) => self.set_aside(&path, &why)?,
                // We hold the folder, so the file is locked by a read of our own in progress, or by a foreign process.
                Err(Fault::Locked) => {
                    return Err(Fault::Failed("a file of it is in use".to_owned()));
                }
                Err(fault) => return Err(fault),
            }
        }
        found.sort_by_key(|generation| generation.number);
        let young = match found.pop() {
            Some(young) => young,
            None => self.create(&self.path.join(NAMES[0]), 1, &Entries::new())?,
        };
        Ok(Generations {
            young: Arc::new(young),
            old: found.pop().map(Arc::new),
        })
    }

    /// Begins a new generation: the young one becomes the old one, which goes.
    pub(super) fn rotate(&self, generations: &Generations) -> Result<Generations, Fault> {
        let young = &generations.young;
        let known = young.known()?;
        let other = NAMES.map(|name| self.path.join(name));
        let other = other.iter().find(|path| **path != young.path);
        let other = other.expect("one of two names is not the young one's");
        remove(other)?;
        let number = young.number + 1;
        Ok(Generations {
            young: Arc::new(self.create(other, number, &known)?),
            old: Some(Arc::clone(young)),
        })
    }

    /// Continues without a broken generation.
    pub(super) fn without(
        &self,
        generations: &Generations,
        broken: &Path,
        why: &str,
    ) -> Result<Generations, Fault> {
        self.set_aside(broken, why)?;
        let mut others = generations.all().filter(|it| it.path != broken);
        let young = if let Some(other) = others.next_back() {
            Arc::clone(other)
        } else {
            let number = generations.young.number + 1;
            Arc::new(self.create(broken, number, &Entries::new())?)
        };
        Ok(Generations { young, old: None })
    }

    /// Renames a broken file so that it is not read again, and removes the one renamed before.
    fn set_aside(&self, path: &Path, why: &str) -> Result<(), Fault> {
        tracing::error!(
            path = %path.display(),
            why,
            "a file of the cache on disk is broken: Pitaya renames it, and will fetch its figures again"
        );
        fs::rename(path, self.path.join(BROKEN))?;
        self.sync()
    }

    /// Removes both generations, durably.
    pub(super) fn erase(&self) -> Result<(), Fault> {
        for name in NAMES {
            remove(&self.path.join(name))?;
        }
        self.sync()
    }

    fn create(&self, path: &Path, number: u64, known: &Entries) -> Result<Generation, Fault> {
        let generation = Generation::create(path, number, known)?;
        self.sync()?;
        Ok(generation)
    }

    fn sync(&self) -> Result<(), Fault> {
        Ok(File::open(&self.path)?.sync_all()?)
    }
}

/// Removes the file at `path`, if there is one.
fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Content for a trial: random, since a file system may compress.
pub(super) fn incompressible(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    rand::rng().fill_bytes(&mut content);
    content
}
