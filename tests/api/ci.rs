//! What `.ci/run` says of its steps.

use std::path::Path;
use std::process::Command;

/// The last line of `.ci/run versions deny` on a machine whose only tools are these functions of bash.
fn last_line(tools: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join(".ci/run");
    std::fs::create_dir(folder.path().join(".ci")).unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/run");
    std::fs::copy(original, &script).unwrap();
    let functions = tools
        .iter()
        .map(|(name, body)| (format!("BASH_FUNC_{name}%%"), format!("() {{ {body}; }}")));

    let output = Command::new("/bin/bash")
        .arg(script)
        .args(["versions", "deny"])
        .env_clear()
        .env("PATH", folder.path())
        .envs(functions)
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().last().unwrap().to_owned()
}

#[test]
fn a_step_that_was_skipped_is_not_told_as_passed() {
    let dirname = ("dirname", "echo \"${1%/*}\"");
    let rust = [("rustc", ":"), ("cargo", ":")];
    let without_deny = [dirname, rust[0], rust[1], ("python3", "return 1")];
    let with_deny = [dirname, rust[0], rust[1], ("cargo-deny", ":")];

    assert_eq!(
        last_line(&without_deny),
        "== passed: versions; skipped: deny"
    );
    assert_eq!(last_line(&with_deny), "== passed: versions deny");
}
