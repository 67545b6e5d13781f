//! The file that keeps the newest tokens, so that a restart does not come with a refresh token that is dead.
//!
//! The newest tokens go to a file beside the store, which is then synced and renamed over it; the next start reads both, and takes
//! the newer one that is whole. So a kill loses nothing that has reached us. A token that the vendor has rotated and that is still
//! on its way can be saved by nobody but the vendor. Whether the store can be written is tried before anything starts, with a file
//! of another name (`upstream::tokens::probe`), since a running process may be using the store. Where it fails later, the tokens
//! are used nevertheless, since the old ones may be dead; they are written as soon as that can be done, and once more at the end.
//! `upstream::tokens` lists the states.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How often another process is asked whether it is done with the file.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// A token answer is at most half as long, so a longer file is no token store.
pub(super) const MAX_BYTES: u64 = 2 << 20;

/// What the file keeps.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Grows with each writing, over all processes that share the file.
    pub(super) serial: u64,
    /// The newest refresh token.
    pub(super) refresh: SecretString,
    /// The ID token that came with it.
    pub(super) id: SecretString,
    /// When the ID token was received.
    pub(super) obtained_at: Timestamp,
    /// When it expires, by the clock of the process that received it.
    pub(super) expires_at: Timestamp,
    /// The [`fingerprint`] of the configured refresh token that these tokens descend from.
    pub(super) lineage: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Content {
    serial: u64,
    refresh_token: String,
    id_token: String,
    obtained_at: Timestamp,
    expires_at: Timestamp,
    lineage: Option<String>,
}

/// The file, the newer one that is about to replace it, and the lock beside them that lets several processes share them.
///
/// Between the vendor's answer and the replaced file the old refresh token is dead, and the new one must not be lost: so the newer
/// file has a fixed name, is there with one write, and counts from that write on. Syncing and renaming follow, and are for the power.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _file: Option<File>,
}

/// Tells one configured refresh token from another without keeping it.
pub(super) fn fingerprint(token: &SecretString) -> String {
    hex::encode(Sha256::digest(token.expose_secret()))
}

/// What the file at `path` keeps. Opens regular files only, since a device may be endless and a pipe waits for its writer.
fn read(path: &Path) -> Result<Stored, io::ErrorKind> {
    let kind = |error: io::Error| error.kind();
    if !std::fs::metadata(path).map_err(kind)?.is_file() {
        return Err(io::ErrorKind::InvalidInput);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(kind)?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(kind)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge);
    }
    // serde's own message may quote the file.
    let content: Content =
        serde_json::from_slice(&bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Stored {
        serial: content.serial,
        refresh: content.refresh_token.into(),
        id: content.id_token.into(),
        obtained_at: content.obtained_at,
        expires_at: content.expires_at,
        lineage: content.lineage,
    })
}

impl Store {
    /// The store in the file at `path`, which need not exist yet. Where `path` is a link, the store is the file that it leads to:
    /// a renaming would replace the link, and leave old tokens behind it.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: std::fs::canonicalize(&path).unwrap_or(path),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What [`Self::newest`] says; a file that is there and cannot be read is logged.
    pub(super) fn load(&self) -> Option<Stored> {
        if let Err(kind) = read(&self.path)
            && kind != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %kind, "the token store cannot be read; the configured tokens serve");
        }
        self.newest()
    }

    /// What the file keeps, or the newer one that a process did not live to put in its place; `None` where there is none, or none
    /// that can be read.
    pub(super) fn newest(&self) -> Option<Stored> {
        // One that was not written to its end is as good as none: the vendor's answer was not relied on.
        [read(&self.path), read(&self.newer())]
            .into_iter()
            .flatten()
            .max_by_key(|stored| stored.serial)
    }

    /// Replaces what the file keeps, at once or not at all, and returns when it is on disk.
    pub(super) fn save(&self, stored: &Stored) -> io::Result<()> {
        let content = serde_json::to_vec_pretty(&Content {
            serial: stored.serial,
            refresh_token: stored.refresh.expose_secret().to_owned(),
            id_token: stored.id.expose_secret().to_owned(),
            obtained_at: stored.obtained_at,
            expires_at: stored.expires_at,
            lineage: stored.lineage.clone(),
        })?;
        let newer = self.newer();
        match std::fs::remove_file(&newer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never through a link that somebody has put there, and its owner's alone from the start.
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&newer)?;
        file.write_all(&content)?;
        file.sync_all()?;
        std::fs::rename(&newer, &self.path)?;
        // The renaming itself is durable only once the folder is.
        File::open(self.folder())?.sync_all()
    }

    /// Waits until no other process renews the tokens of this file, `patience` at most.
    ///
    /// Where the file system has no locks, nothing is held, and nobody waits.
    pub(super) async fn lock(&self, patience: Duration) -> io::Result<Held> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = match private(&mut options).open(self.lock_file()) {
            Ok(file) => file,
            Err(error) => {
                tracing::debug!(kind = %error.kind(), "the token store cannot be locked");
                return Ok(Held { _file: None });
            }
        };
        let give_up = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Held { _file: Some(file) }),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => {
                    tracing::debug!(kind = %error.kind(), "the token store cannot be locked");
                    return Ok(Held { _file: None });
                }
            }
            if tokio::time::Instant::now() >= give_up {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// The file that replaces the store's with the next renaming.
    pub(super) fn newer(&self) -> PathBuf {
        self.beside(".new")
    }

    /// The file that processes lock which share the store.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// The folder that the file is in.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// What these options create is its owner's alone.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(serial: u64) -> Stored {
        Stored {
            serial,
            refresh: format!("refresh-{serial}").into(),
            id: format!("id-{serial}").into(),
            obtained_at: "2026-02-18T09:00:00Z".parse().unwrap(),
            expires_at: "2026-02-18T10:00:00Z".parse().unwrap(),
            lineage: Some(fingerprint(&"configured".into())),
        }
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let store = Store::new(path.clone());
        assert!(store.load().is_none());

        store.save(&stored(1)).unwrap();
        store.save(&stored(2)).unwrap();

        let loaded = store.load().unwrap();
        assert_eq!(loaded.serial, 2);
        assert_eq!(loaded.refresh.expose_secret(), "refresh-2");
        assert_eq!(loaded.id.expose_secret(), "id-2");
        assert_eq!(loaded.expires_at, stored(2).expires_at);
        assert_eq!(loaded.lineage, stored(2).lineage);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");

        for garbage in ["", "{", "{}", "[1]", "\u{0}"] {
            std::fs::write(&path, garbage).unwrap();

            assert!(Store::new(path.clone()).load().is_none(), "{garbage:?}");
        }
        assert!(Store::new(folder.path().to_path_buf()).load().is_none());
    }

    #[test]
    fn neither_a_device_nor_a_file_without_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let endless = folder.path().join("endless.json");
        let file = File::create(&endless).unwrap();
        file.set_len(1 << 40).unwrap();

        for path in [Path::new("/dev/zero"), Path::new("/dev/full"), &endless] {
            assert!(Store::new(path.to_path_buf()).load().is_none(), "{path:?}");
        }
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("tokens.json.new")).unwrap();
        assert!(
            Store::new(folder.path().join("tokens.json"))
                .load()
                .is_none()
        );
    }

    #[test]
    fn a_store_behind_a_link_is_the_file_that_the_link_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        Store::new(file.clone()).save(&stored(1)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();

        Store::new(link.clone()).save(&stored(2)).unwrap();

        assert!(link.is_symlink());
        assert_eq!(Store::new(file).load().unwrap().serial, 2);
    }

    #[test]
    fn what_a_process_wrote_before_it_was_killed_counts_if_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let newer = folder.path().join("tokens.json.new");
        let store = Store::new(path.clone());
        store.save(&stored(2)).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        store.save(&stored(1)).unwrap();

        std::fs::write(&newer, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(store.load().unwrap().serial, 1);
        std::fs::write(&newer, &whole).unwrap();
        assert_eq!(store.load().unwrap().serial, 2);

        store.save(&stored(3)).unwrap();
        assert_eq!(store.load().unwrap().serial, 3);
        assert!(!newer.exists(), "nothing is left behind");
    }

    #[test]
    fn saving_where_nothing_can_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("missing").join("tokens.json"));

        assert!(store.save(&stored(1)).is_err());
    }

    #[tokio::test]
    async fn the_lock_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("tokens.json"));

        let held = store.lock(Duration::ZERO).await.unwrap();
        assert!(store.lock(Duration::ZERO).await.is_err());
        drop(held);

        assert!(store.lock(Duration::ZERO).await.is_ok());
    }
}
