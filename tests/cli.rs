//! The binary, as operators meet it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread::JoinHandle;

const MINIMAL: [(&str, &str); 3] = [
    ("PITAYA_UPSTREAM__CUSTOMER_IDS", "123"),
    ("PITAYA_UPSTREAM__REFRESH_TOKEN", "hush"),
    ("PITAYA_AUTH", "disabled"),
];

/// Runs the binary with these arguments, and no variables but these.
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

/// A service that answers one request with `head`, and gives back the request's first line.
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
fn a_key_for_a_name_that_cannot_be_is_refused() {
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
fn a_healthcheck_of_a_service_that_is_not_ready_or_not_there_fails_in_one_line() {
    let (unready, service) = answers_once("503 Service Unavailable");
    let unready = unready.to_string();
    // Nobody listens on the port of a service that died out decades ago, where a free port may be taken by another test.
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
    assert_eq!(pitaya(&["--version"], &[]).status.code(), Some(0));
}
