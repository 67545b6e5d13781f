//! TLS, with authorities of one's own.

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::store::testing::{free_port, ignored};

/// Runs `openssl` in a folder.
fn openssl(folder: &Path, words: &str) {
    let made = Command::new("openssl")
        .args(words.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl {words}");
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

#[tokio::test]
async fn only_a_server_that_the_configured_authority_vouches_for_is_asked() {
    if Command::new("openssl").arg("version").output().is_err() {
        return ignored("openssl");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["ca", "other"] {
        openssl(
            path,
            &format!("req -x509 {KEY} -days 2 -keyout {name}.key -out {name}.pem -subj /CN={name}"),
        );
    }
    openssl(
        path,
        &format!("req {KEY} -keyout key.pem -out server.csr -subj /CN=store"),
    );
    std::fs::write(path.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl(
        path,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    let file = |name: &str| path.join(name).display().to_string();
    let port = free_port().to_string();
    let (server, key, ca) = (file("server.pem"), file("key.pem"), file("ca.pem"));
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &server,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let Some(_redis) = Redis::start(&tls) else {
        return;
    };
    let trusting = |ca: Option<&str>| {
        let settings = Settings {
            ca: ca.map(|name| std::fs::read(path.join(name)).unwrap()),
            ..settings(&[&format!("rediss://127.0.0.1:{port}")])
        };
        Link::new(&settings).unwrap()
    };

    let right = trusting(Some("ca.pem"));
    reaches(|| right.is_connected()).await;
    right
        .query::<Option<String>>(&get("a"), LIMIT)
        .await
        .unwrap();
    for wrong in [trusting(Some("other.pem")), trusting(None)] {
        let skipped = wrong.query::<Option<String>>(&get("a"), LIMIT).await;
        assert_eq!(skipped, Err(Unavailable::Skipped));
    }
}
