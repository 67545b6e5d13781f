//! The table `[cache.disk]`: where figures outlive the process.

use super::keys;
use super::purpose::Purpose;
use super::reader::Reader;
use super::value;
use crate::tier::check_folder;
use crate::tier::disk::Settings;

/// The folder and its size, if one is configured. A demo has none, because each demo has another vendor.
pub(super) fn settings(reader: &mut Reader<'_>, purpose: Purpose<'_>) -> Option<Settings> {
    let path = reader.read_as(&keys::DISK_PATH, |raw| {
        value::tried_path(raw, purpose, check_folder)
    });
    let max_bytes = reader.value(&keys::DISK_MAX_BYTES);
    match purpose {
        Purpose::Serve => path.map(|path| Settings { path, max_bytes }),
        Purpose::Demo(_) => None,
    }
}
