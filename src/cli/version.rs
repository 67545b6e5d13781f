//! The version that the program tells.

use std::sync::LazyLock;

/// The package's version, and the commit in `BUILD_COMMIT` at build time, if any. The build reads neither a repository nor a clock, so the
/// same sources give the same program.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("BUILD_COMMIT") {
        None | Some("") => version.to_owned(),
        Some(commit) => format!("{version} ({commit})"),
    }
});
