//! A real server of Redis, which a test starts for itself.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server of its own, with a folder of its own. It ends with this value.
#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    folder: TempDir,
    pub port: u16,
    more: Vec<String>,
}

impl Redis {
    /// A server on a free port of the loopback, that writes nothing to disk.
    ///
    /// Without the program there is none, which is told so that nobody takes the test for passed.
    pub fn start(more: &[&str]) -> Option<Self> {
        let there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.is_err() {
            ignored("redis-server");
            return None;
        }
        let mut redis = Self {
            child: None,
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            more: more.iter().map(|&word| word.to_owned()).collect(),
        };
        redis.run();
        Some(redis)
    }

    /// A cluster of one node, which has all slots.
    pub fn start_cluster() -> Option<Self> {
        let redis = Self::start(&["--cluster-enabled", "yes"])?;
        redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        let until = Instant::now() + Duration::from_mins(1);
        while !redis
            .command(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
        {
            assert!(Instant::now() < until, "the cluster is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(redis)
    }

    /// Starts the server again, empty, after [`kill`](Self::kill).
    pub fn run(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, with all that it had.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// The output of a command.
    pub fn command(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tells that a test is not made for want of a program.
pub fn ignored(program: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln!`, which the harness keeps to itself.
    let told = format!("\nIGNORED: {name} needs {program}, which is not installed\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// A free port; ten thousand above it is another one, for the nodes of a cluster.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}
