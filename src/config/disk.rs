//! The table `[cache.disk]`: where figures outlive the process.

use std::path::PathBuf;

use super::error::{Problem, Problems};
use super::keys;
use super::purpose::Purpose;
use super::reader::Reader;
use super::value::{self, Raw};
use crate::tier::check_folder;
use crate::tier::disk::Settings;

/// The folder and its size, if one is configured. A demo has none, because each demo has another vendor.
pub(super) fn settings(reader: &mut Reader<'_>, purpose: Purpose<'_>) -> Option<Settings> {
    let path = reader.read_as(&keys::DISK_PATH, |raw| folder(raw, purpose));
    let max_bytes = reader.value(&keys::DISK_MAX_BYTES);
    match purpose {
        Purpose::Serve => path.map(|path| Settings { path, max_bytes }),
        Purpose::Demo(_) => None,
    }
}

/// A folder that cells can be kept in, which is found by trying. A demo, which keeps none, leaves it alone.
fn folder(raw: Raw<'_>, purpose: Purpose<'_>) -> Result<PathBuf, Problems> {
    let path = value::path(raw)?;
    if let Purpose::Serve = purpose {
        check_folder(&path).map_err(|error| Problem::new(error.to_string()))?;
    }
    Ok(path)
}
