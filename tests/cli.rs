//! The binary as operators use it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::SystemTime;

const MINIMAL: [(&str, &str); 3] = [
    ("PITAYA_UPSTREAM__CUSTOMER_IDS", "123"),
    ("PITAYA_UPSTREAM__REFRESH_TOKEN", "hush"),
    ("PITAYA_AUTH", "disabled"),
];

/// Runs the binary with these arguments and only these variables.
fn pitaya(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pitaya"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A service that answers one request with `head`, and returns the request's first line.
fn answers_once(head: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request: Vec<String> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").unwrap();
        request[0].clone()
    });
    (address, service)
}

#[test]
fn a_reader_that_has_left_is_an_error_only_for_a_key() {
    let exit = |command: &str| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut pitaya = Command::new(env!("CARGO_BIN_EXE_pitaya"));
        pitaya.arg(command).env_clear().envs(MINIMAL).stdout(writer);
        pitaya.output().unwrap().status.code()
    };

    assert_eq!(exit("openapi"), Some(0));
    assert_eq!(exit("check-config"), Some(0));
    assert_eq!(exit("key"), Some(1));
}

#[test]
fn check_config_prints_the_resolved_configuration_without_secrets() {
    let output = pitaya(&["check-config"], &MINIMAL);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("listen = \"127.0.0.1:8080\""), "{text}");
    assert!(text.contains("refresh_token = \"[redacted]\""), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn check_config_and_serve_refuse_a_wrong_configuration_with_every_error_and_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pitaya.toml");
    std::fs::write(&path, "colour = 1\nlisten = \"nowhere\"\n").unwrap();
    let path = path.to_str().unwrap();
    let by_variable = [("PITAYA_CONFIG", path)];

    let outputs = [
        pitaya(&["check-config", "--config", path], &[]),
        pitaya(&["check-config"], &by_variable),
        pitaya(&["serve", "--config", path], &[]),
        pitaya(&["demo", "--config", path], &[]),
    ];

    for output in outputs {
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("error: colour: unknown key"), "{text}");
        assert!(text.contains("error: listen (PITAYA_LISTEN): "), "{text}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn serve_refuses_to_start_without_clients_unless_auth_is_disabled() {
    let output = pitaya(&["serve"], &MINIMAL[..2]);

    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("auth (PITAYA_AUTH)"));
    assert!(stderr(&output).contains("clients"));
}

#[test]
fn a_new_key_is_256_bits_and_its_lines_are_a_configuration() {
    let output = pitaya(&["key", "--name", "the \"big\" one"], &[]);
    let again = pitaya(&["key"], &[]);

    let text = stdout(&output);
    let key = text.lines().find(|line| line.starts_with("pit_")).unwrap();
    assert_eq!(key.len(), "pit_".len() + 43);
    assert!(!stdout(&again).contains(key));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pitaya.toml");
    std::fs::write(&path, &text[text.find("[[clients]]").unwrap()..]).unwrap();
    let checked = pitaya(
        &["check-config", "--config", path.to_str().unwrap()],
        &MINIMAL[..2],
    );
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("auth = \"required\""));
}

#[test]
fn a_key_for_an_invalid_name_is_refused() {
    let output = pitaya(&["key", "--name", ""], &[]);

    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_healthcheck_of_a_ready_service_succeeds_without_secrets() {
    let (address, service) = answers_once("200 OK");
    let address = address.to_string();

    let output = pitaya(&["healthcheck"], &[("PITAYA_LISTEN", &address)]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(service.join().unwrap(), "GET /readyz HTTP/1.1");
}

#[test]
fn a_healthcheck_asks_the_admin_listener_on_loopback() {
    let (address, service) = answers_once("200 OK");
    let everywhere = format!("0.0.0.0:{}", address.port());

    let output = pitaya(&["healthcheck"], &[("PITAYA_ADMIN_LISTEN", &everywhere)]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    service.join().unwrap();
}

#[test]
fn a_healthcheck_of_an_unready_or_absent_service_fails_in_one_line() {
    let (unready, service) = answers_once("503 Service Unavailable");
    let unready = unready.to_string();
    // The port of a service that nobody has run for decades has no listener, while another test may take a free port.
    let absent = "127.0.0.1:1";

    let outputs = [
        pitaya(&["healthcheck"], &[("PITAYA_LISTEN", &unready)]),
        pitaya(&["healthcheck"], &[("PITAYA_LISTEN", absent)]),
        pitaya(&["healthcheck"], &[("PITAYA_LISTEN", "nowhere")]),
    ];

    for output in outputs {
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    service.join().unwrap();
}

#[test]
fn a_wrong_argument_is_status_2() {
    assert_eq!(pitaya(&["serve", "--nothing"], &[]).status.code(), Some(2));
    assert_eq!(pitaya(&[], &[]).status.code(), Some(2));
    let version = pitaya(&["--version"], &[]);
    assert_eq!(version.status.code(), Some(0));
    let expected = match option_env!("BUILD_COMMIT") {
        None | Some("") => concat!("pitaya ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        Some(commit) => format!("pitaya {} ({commit})\n", env!("CARGO_PKG_VERSION")),
    };
    assert_eq!(stdout(&version), expected);
}

/// A service with its token store at `path`.
fn with_store(path: &str) -> Vec<(&'static str, &str)> {
    let mut variables = MINIMAL.to_vec();
    variables.push(("PITAYA_UPSTREAM__TOKEN_STORE", path));
    variables
}

/// The content and modification time of each finite file in a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let file = path.symlink_metadata().unwrap();
        let bytes = if file.is_file() && file.len() < 1024 {
            std::fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        (path, (bytes, file.modified().unwrap()))
    });
    files.collect()
}

#[test]
fn a_broken_token_store_is_found_before_a_token_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("file"), "{}").unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    std::os::unix::fs::symlink(at("round"), at("round")).unwrap();
    std::os::unix::fs::symlink("/dev/full", at("device")).unwrap();
    let endless = std::fs::File::create(at("endless")).unwrap();
    endless.set_len(1 << 40).unwrap();
    std::fs::create_dir(at("blocked.new")).unwrap();
    std::fs::create_dir(at("unlocked.lock")).unwrap();
    let fifo = Command::new("mkfifo").arg(at("fifo")).status();
    assert!(fifo.unwrap().success());
    let long = "x".repeat(252);
    let inside = [
        "missing/tokens.json",
        "folder",
        "folder/",
        "new-folder/",
        "file/tokens.json",
        "dangling",
        "round",
        "device",
        "endless",
        "blocked",
        "unlocked",
        "fifo",
        &long,
    ];
    let mut paths: Vec<String> = inside
        .iter()
        .map(|name| format!("{}/{name}", folder.path().display()))
        .collect();
    paths.extend(["/dev/full", "/dev/zero", "/proc/tokens.json", "/", ".."].map(str::to_owned));
    let before = content(folder.path());

    for path in &paths {
        for command in ["check-config", "serve"] {
            let output = pitaya(&[command], &with_store(path));

            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {path}: {text}");
            let told = format!(
                "error: upstream.token_store (PITAYA_UPSTREAM__TOKEN_STORE): {path:?} cannot"
            );
            assert!(text.starts_with(&told), "{command} {path}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(stdout(&output), "");
        }
    }

    assert_eq!(content(folder.path()), before);
}

#[test]
fn a_folder_that_cannot_keep_the_cache_is_found_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "{}").unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    std::fs::create_dir_all(at("blocked/cells.a")).unwrap();
    let inside = ["file", "file/below", "dangling", "blocked"];
    let mut paths: Vec<String> = inside
        .iter()
        .map(|name| at(name).display().to_string())
        .collect();
    paths.push("/proc/cache".to_owned());
    let before = content(folder.path());

    for path in &paths {
        for command in ["check-config", "serve"] {
            let mut variables = MINIMAL.to_vec();
            variables.push(("PITAYA_CACHE__DISK__PATH", path));
            let output = pitaya(&[command], &variables);

            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {path}: {text}");
            let told =
                format!("error: cache.disk.path (PITAYA_CACHE__DISK__PATH): {path:?} cannot");
            assert!(text.starts_with(&told), "{command} {path}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    assert_eq!(content(folder.path()), before);
}

/// Runs `check-config` with a token store in `folder`, after the commands in `before`, in a shell that may have a file system of its own;
/// `None` if the machine does not allow that.
fn checked_after(before: &str, folder: &Path) -> Option<Output> {
    let store = folder.join("tokens.json");
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("FOLDER", folder)
            .env("PITAYA", env!("CARGO_BIN_EXE_pitaya"))
            .envs(with_store(store.to_str().unwrap()))
            .output()
    };
    if run(before).is_ok_and(|output| output.status.success()) {
        return run(&format!("{before} && exec \"$PITAYA\" check-config")).ok();
    }
    eprintln!("SKIPPED: this machine does not allow {before:?}");
    None
}

#[test]
fn a_full_or_read_only_disk_is_found_before_a_token_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let full = "mount -t tmpfs -o size=8k tmpfs \"$FOLDER\"";
    let read_only = "mount -t tmpfs -o ro tmpfs \"$FOLDER\"";
    let alone = "echo '{}' > \"$FOLDER/other\" && mount -t tmpfs tmpfs /mnt && touch /mnt/file \"$FOLDER/tokens.json\" && mount --bind /mnt/file \"$FOLDER/tokens.json\"";

    for (before, told) in [
        (full, "cannot be written: No space left"),
        (read_only, "cannot be created: Read-only file system"),
        (alone, "mounted by itself"),
    ] {
        let Some(output) = checked_after(before, folder.path()) else {
            continue;
        };
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{before}: {text}");
        assert!(text.contains(told), "{before}: {text}");
    }

    // To the process, a limit on file size looks like a full disk, and setting it needs no privileges.
    let store = folder.path().join("limited.json");
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" check-config"])
        .arg(env!("CARGO_BIN_EXE_pitaya"))
        .env_clear()
        .envs(with_store(store.to_str().unwrap()))
        .output()
        .unwrap();
    let text = stderr(&limited);
    assert_eq!(limited.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot be written: File too large"), "{text}");
    let names: Vec<_> = content(folder.path()).into_keys().collect();
    assert!(
        names
            .iter()
            .all(|path| !path.to_str().unwrap().contains("probe")),
        "{names:?}"
    );
}

#[test]
fn testing_a_token_store_changes_nothing_in_its_folder_while_another_process_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, text) in [
        ("tokens.json", "kept"),
        ("tokens.json.new", "newer"),
        ("tokens.json.lock", ""),
        ("neighbour", "its own"),
    ] {
        std::fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink(at("tokens.json"), at("link")).unwrap();
    let held = std::fs::File::open(at("tokens.json.lock")).unwrap();
    held.try_lock().unwrap();
    let before = content(folder.path());

    for name in ["tokens.json", "link", "not-yet.json"] {
        let path = at(name);
        let output = pitaya(&["check-config"], &with_store(path.to_str().unwrap()));

        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains(&format!("token_store = {path:?}")));
    }

    assert_eq!(content(folder.path()), before);
}
