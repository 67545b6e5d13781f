//! The file that keeps the newest tokens, so that a restart does not begin with a dead refresh token.
//!
//! A save writes the newest tokens to a file beside the store, syncs it and renames it over the store. The next start reads both files, and
//! takes the newer one that is complete. So a kill loses nothing that has reached us; a rotated token still in transit is lost. Before
//! anything starts, `upstream::tokens::probe` checks that the store is writable, with a file of another name, since a running process may
//! be using the store. `upstream::tokens` says what happens if a write fails later.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Interval at which we retry a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(25);

/// Twice the size limit of a token answer, so a longer file is not a token store.
pub(super) const MAX_BYTES: u64 = 2 << 20;

/// The content of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Stored {
    /// Grows with each save, across all processes that share the file.
    pub(super) serial: u64,
    /// The newest refresh token.
    #[serde(rename = "refresh_token", serialize_with = "expose")]
    #[serde(deserialize_with = "conceal")]
    pub(super) refresh: SecretString,
    /// The ID token that came with it; empty if none did.
    #[serde(rename = "id_token", serialize_with = "expose")]
    #[serde(deserialize_with = "conceal")]
    pub(super) id: SecretString,
    /// Time at which the ID token was received.
    pub(super) obtained_at: Timestamp,
    /// Time at which it expires, by the clock of the process that received it.
    pub(super) expires_at: Timestamp,
    /// The [`fingerprint`] of the configured refresh token that these tokens descend from.
    pub(super) lineage: Option<String>,
    /// The tokens' place among those that replicas share; `None`: they were not shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shared: Option<SharedSerial>,
}

/// The place of tokens among those that replicas share.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct SharedSerial {
    /// Counts the renewals of all replicas.
    pub(super) serial: u64,
    /// Whether the vendor rotates refresh tokens; `None`: not known.
    pub(super) rotates: Option<bool>,
}

impl Stored {
    /// Whether there is an ID token: an answer may have had only a refresh token.
    pub(super) fn has_id(&self) -> bool {
        !self.id.expose_secret().is_empty()
    }
}

/// The [`expires_at`](Stored::expires_at) of an ID token that was received at `obtained_at`; long ago if there is none.
pub(super) fn expiry(
    id: Option<&SecretString>,
    obtained_at: Timestamp,
    lifetime: Duration,
) -> Timestamp {
    let expiry = id.map(|_| obtained_at.saturating_add(lifetime).unwrap_or(obtained_at));
    expiry.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Writes a token as plain text, for the store's file.
fn expose<S: Serializer>(token: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.expose_secret())
}

/// Reads a token from plain text.
fn conceal<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(Into::into)
}

/// The store's file, the newer file that will replace it, and the file that processes lock to share them.
///
/// Between the vendor's answer and the replacement of the file, the old refresh token is dead, and the new one must not be lost. So the
/// newer file has a fixed name, takes a single write, and counts as soon as it is complete. The sync and the rename that follow protect
/// against power loss.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// Whether the last load found a file that cannot be read, and nothing has replaced it since; clones share it.
    unreadable: Arc<AtomicBool>,
}

/// Distinguishes one configured refresh token from another without keeping it.
pub(super) fn fingerprint(token: &SecretString) -> String {
    hex::encode(Sha256::digest(token.expose_secret()))
}

/// Reads the file at `path`. Opens only regular files, since a device may be endless and a pipe waits for its writer.
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
    serde_json::from_slice(&bytes).map_err(|_| io::ErrorKind::InvalidData)
}

impl Store {
    /// The store in the file at `path`, which may not exist yet. If `path` is a link, the store is its target: a rename would replace the
    /// link, and leave old tokens at its target.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: std::fs::canonicalize(&path).unwrap_or(path),
            unreadable: Arc::default(),
        }
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns [`Self::newest`]; logs a warning if the file exists and cannot be read.
    pub(super) fn load(&self) -> Option<Stored> {
        let unreadable = match read(&self.path) {
            Err(kind) if kind != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %kind, "cannot read the token store: Pitaya uses the configured tokens");
                true
            }
            _ => false,
        };
        self.unreadable.store(unreadable, Ordering::Relaxed);
        self.newest()
    }

    /// Whether the last load found a file that cannot be read, and nothing has replaced it since.
    pub(super) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Reads the store's file, or the newer one that a killed process left beside it; `None` if neither is readable.
    pub(super) fn newest(&self) -> Option<Stored> {
        // An incomplete file counts as none: nothing has relied on its tokens.
        [read(&self.path), read(&self.newer())]
            .into_iter()
            .flatten()
            .max_by_key(|stored| stored.serial)
    }

    /// Replaces the content of the file atomically, and returns when it is on disk.
    pub(super) fn save(&self, stored: &Stored) -> io::Result<()> {
        let content = serde_json::to_vec_pretty(stored)?;
        let newer = self.newer();
        match std::fs::remove_file(&newer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never through a link that another user has put there, and readable only by its owner from the start.
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&newer)?;
        file.write_all(&content)?;
        file.sync_all()?;
        std::fs::rename(&newer, &self.path)?;
        self.unreadable.store(false, Ordering::Relaxed);
        // The rename is durable only after a sync of the folder.
        File::open(self.folder())?.sync_all()
    }

    /// Locks the tokens of this file against renewals by other processes; waits for the lock for at most `patience`.
    ///
    /// Returns the file that holds the lock until it is dropped. If the file system has no locks, this takes none and does not wait.
    pub(super) async fn lock(&self, patience: Duration) -> io::Result<Option<File>> {
        let has_no_locks = |error: io::Error| {
            tracing::debug!(kind = %error.kind(), "cannot lock the token store");
            Ok(None)
        };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = match private(&mut options).open(self.lock_file()) {
            Ok(file) => file,
            Err(error) => return has_no_locks(error),
        };
        let give_up = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return has_no_locks(error),
            }
            if tokio::time::Instant::now() >= give_up {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// The file that the next rename moves over the store's.
    pub(super) fn newer(&self) -> PathBuf {
        self.beside(".new")
    }

    /// The file that processes lock to share the store.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// The folder of the file.
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

/// Makes new files accessible only to their owner.
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
            shared: Some(SharedSerial {
                serial: 7,
                rotates: Some(true),
            }),
        }
    }

    #[test]
    fn saved_tokens_are_loaded_and_only_their_owner_may_read_them() {
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
        assert_eq!(loaded.shared, stored(2).shared);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left behind"
        );
    }

    #[test]
    fn an_unreadable_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");

        for garbage in ["", "{", "{}", "[1]", "\u{0}"] {
            std::fs::write(&path, garbage).unwrap();

            assert!(Store::new(path.clone()).load().is_none(), "{garbage:?}");
        }
        assert!(Store::new(folder.path().to_path_buf()).load().is_none());
    }

    #[test]
    fn the_store_reads_neither_a_device_nor_an_endless_file() {
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
    fn a_store_behind_a_link_is_the_links_target() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        Store::new(file.clone()).save(&stored(1)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();

        Store::new(link.clone()).save(&stored(2)).unwrap();

        assert!(link.is_symlink());
        assert_eq!(Store::new(file).load().unwrap().serial, 2);
    }

    #[test]
    fn the_file_of_a_killed_process_counts_if_it_is_complete() {
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
    fn saving_to_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("missing").join("tokens.json"));

        assert!(store.save(&stored(1)).is_err());
    }

    #[tokio::test]
    async fn one_process_at_a_time_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("tokens.json"));

        let held = store.lock(Duration::ZERO).await.unwrap();
        assert!(store.lock(Duration::ZERO).await.is_err());
        drop(held);

        assert!(store.lock(Duration::ZERO).await.is_ok());
    }
}
