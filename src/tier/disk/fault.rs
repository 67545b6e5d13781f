//! Possible faults of a file of the disk tier, and the reaction to each.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Reason why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Another process holds it.
    #[error("another process has it")]
    Locked,
    /// It is not our file, or differs from what we wrote: Pitaya sets it aside.
    #[error("{} is broken: {why}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The finding.
        why: String,
    },
    /// A system call failed: Pitaya closes the file, and tries again later.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// The fault of the file at `path`, according to the engine.
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

    /// The fault of a foreign file at `path`.
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

/// Does `work` on the file at `path`. An altered file may make the engine panic, which counts as a fault of the file.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| Fault::of(&error, path)),
        Err(_) => Err(Fault::broken(path, "the engine panicked")),
    }
}
