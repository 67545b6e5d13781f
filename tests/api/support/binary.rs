//! The real binary in its own process: for signals, memory, logs and metrics, which all tests of one process would share.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pitaya::simulator::Simulator;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

/// Time limit for a process to listen or to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// `pitaya serve` in front of a simulated vendor, killed on drop.
pub struct Binary {
    child: Child,
    /// Collects the log of the process until it ends.
    log: Option<JoinHandle<String>>,
    pub address: SocketAddr,
    pub client: Client,
}

/// Results of a finished process.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub log: String,
}

impl Binary {
    /// Starts the service with these additional variables, `("CACHE__OPEN_TTL", "2s")`, and returns once it listens and has tried to obtain
    /// tokens.
    pub async fn serve(vendor: &Simulator, variables: &[(&str, &str)]) -> Self {
        let pitaya = Self::listen(vendor, variables).await;
        super::until_tokens_are_tried(&pitaya.client, pitaya.address).await;
        pitaya
    }

    /// The same, but returns as soon as it listens.
    pub async fn listen(vendor: &Simulator, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitaya"));
        command.arg("serve").env_clear().envs([
            ("RUST_LOG", "info"),
            ("PITAYA_LOG__FORMAT", "json"),
            ("PITAYA_LISTEN", "127.0.0.1:0"),
            ("PITAYA_AUTH", "disabled"),
            ("PITAYA_UPSTREAM__CUSTOMER_IDS", "123"),
            ("PITAYA_UPSTREAM__BASE_URL", vendor.base_url().as_str()),
            ("PITAYA_UPSTREAM__TOKEN_URL", vendor.token_url().as_str()),
        ]);
        let configured = variables
            .iter()
            .any(|(key, _)| key.ends_with("REFRESH_TOKEN") || key.ends_with("ID_TOKEN"));
        if !configured {
            command.env("PITAYA_UPSTREAM__REFRESH_TOKEN", vendor.refresh_token());
        }
        for (key, value) in variables {
            let name = if *key == "RUST_LOG" {
                (*key).to_owned()
            } else {
                format!("PITAYA_{key}")
            };
            command.env(name, value);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, listening) = follow(child.stderr.take().unwrap());
        let address = tokio::task::spawn_blocking(move || listening.recv_timeout(PATIENCE));
        let Ok(address) = address.await.unwrap() else {
            // Closes the pipe that the log reader waits on.
            let _ = child.kill();
            panic!("the service does not listen: {}", log.join().unwrap());
        };
        Self {
            child,
            log: Some(log),
            address,
            client: super::client(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// `GET /v1/traffic` with that query string.
    pub async fn traffic(&self, query: &str) -> Response {
        self.get(&format!("/v1/traffic?{query}")).await
    }

    /// JSON of a query that must succeed.
    pub async fn rows(&self, query: &str) -> Value {
        let response = self.traffic(query).await;
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.text().await.unwrap()
    }

    /// Returns once `check` in `/readyz` has one of the `wanted` states.
    pub async fn until_state_is(&self, check: &str, wanted: &[&str]) {
        let is_wanted = |state: &str| wanted.contains(&state);
        super::until_state(&self.client, self.address, check, is_wanted).await;
    }

    /// Returns once all figures fetched so far, and the facts learned with them, are on disk or in the shared store.
    pub async fn until_written(&self) {
        super::until("the queue is empty", async || {
            super::metric(&self.metrics().await, "pitaya_tier_queue_bytes") == 0.0
        })
        .await;
    }

    /// Peak memory of the process so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Kills the process at once, as `kill -9` does.
    pub async fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ended().await
    }

    /// Waits until the process ends by itself, and returns its results.
    pub async fn ended(mut self) -> Ended {
        let exited = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let status = tokio::time::timeout(PATIENCE, exited).await.unwrap();
        let mut stdout = String::new();
        let mut output = self.child.stdout.take().unwrap();
        output.read_to_string(&mut stdout).unwrap();
        let log = self.log.take().unwrap().join().unwrap();
        Ended {
            status,
            stdout,
            log,
        }
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects the log, and sends the listen address that it contains.
fn follow(log: ChildStderr) -> (JoinHandle<String>, Receiver<SocketAddr>) {
    let (tell, listening) = channel();
    let gathered = std::thread::spawn(move || {
        let mut all = String::new();
        for line in BufReader::new(log).lines() {
            let line = line.unwrap();
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "serving" {
                let address = event["listen"].as_str().unwrap().parse().unwrap();
                // The receiver is gone if the test has given up.
                let _ = tell.send(address);
            }
            all.push_str(&line);
            all.push('\n');
        }
        all
    });
    (gathered, listening)
}
