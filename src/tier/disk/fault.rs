//! What can be wrong with a file of the disk tier, and what to do about it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Another process has it.
    #[error("another process has it")]
    Locked,
    /// It is no file of ours, or not what it was when we wrote it: it is set aside.
    #[error("{} is broken: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The system could not do what it was asked for: it is closed, and tried again.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// What the engine says of the file at `path`.
    fn of(error: &redb::Error, path: &Path) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            redb::Error::Io(io) if !matches!(io.kind(), InvalidData | UnexpectedEof) => {
                Self::Failed(io.to_string())
            }
            redb::Error::PreviousIo
            | redb::Error::LockPoisoned(_)
            | redb::Error::DatabaseClosed
            | redb::Error::Unsupported => Self::Failed(error.to_string()),
            _ => Self::broken(path, error.to_string()),
        }
    }

    /// The file at `path` is no file of ours.
    pub(super) fn broken(path: &Path, why: impl Into<String>) -> Self {
        Self::Broken {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Does `work` on the file at `path`. A file that was altered may make the engine panic, which is a fault of the file.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| Fault::of(&error, path)),
        Err(_) => Err(Fault::broken(path, "the engine panicked")),
    }
}
