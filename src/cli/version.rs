//! The version that the program tells.

use std::sync::LazyLock;

/// The package's version, and the commit that the build was told in `BUILD_COMMIT`, if any. The build asks no repository and no clock,
/// so that the same sources give the same program.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("BUILD_COMMIT") {
        None | Some("") => version.to_owned(),
        Some(commit) => format!("{version} ({commit})"),
    }
});
