//! A real Redis server, which a test starts for itself.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A test's own server, with its own folder. It ends when dropped.
#[derive(Debug)]
pub struct Redis {
    child: Option<Child>,
    folder: TempDir,
    pub port: u16,
    more: Vec<String>,
}

impl Redis {
    /// Starts a server on a free loopback port. It writes nothing to disk.
    ///
    /// Returns `None` without the program, and says so, since the test would otherwise seem to have passed.
    pub fn start(more: &[&str]) -> Option<Self> {
        let there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.is_err() {
            ignored("redis-server");
            return None;
        }
        Some(Self::start_in(tempfile::tempdir().unwrap(), more))
    }

    fn start_in(folder: TempDir, more: &[&str]) -> Self {
        let mut redis = Self {
            child: None,
            folder,
            port: free_port(),
            more: more.iter().map(|&word| word.to_owned()).collect(),
        };
        redis.run();
        redis
    }

    /// Starts a server that also speaks TLS, on the returned port. The authority of its certificate is `ca.pem` in its folder; `other.pem`
    /// is an unrelated authority.
    pub fn start_with_tls() -> Option<(Self, u16)> {
        if Command::new("openssl").arg("version").output().is_err() {
            ignored("openssl");
            return None;
        }
        drop(Self::start(&[])?);
        let folder = tempfile::tempdir().unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let path = folder.path();
        for name in ["ca", "other"] {
            openssl(
                path,
                &format!(
                    "req -x509 {key} -days 2 -keyout {name}.key -out {name}.pem -subj /CN={name}"
                ),
            );
        }
        openssl(
            path,
            &format!("req {key} -keyout key.pem -out server.csr -subj /CN=store"),
        );
        fs::write(path.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(
            path,
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
        );
        let port = free_port();
        let tls = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file(path, "server.pem")),
            ("--tls-key-file", file(path, "key.pem")),
            ("--tls-ca-cert-file", file(path, "ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        let words = tls.iter().flat_map(|(name, value)| [*name, value]);
        let words: Vec<&str> = words.collect();
        let redis = Self::start_in(folder, &words);
        Some((redis, port))
    }

    /// The path of a file in its folder.
    pub fn file(&self, name: &str) -> String {
        file(self.folder.path(), name)
    }

    /// Starts a cluster of three primaries, each with a replica that is in step.
    pub fn start_six() -> Option<Vec<Self>> {
        let node = || Self::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
        let nodes: Vec<Self> = (0..6).map_while(|_| node()).collect();
        let addresses: Vec<String> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = nodes.first()?.command(&create);
        assert!(created.contains("All 16384 slots covered"), "{created}");
        // A replica that has never received its primary's data does not take over.
        let is_in_step = |node: &Self| {
            node.is_primary()
                || node
                    .command(&["INFO", "replication"])
                    .contains("master_link_status:up")
        };
        while !nodes.iter().all(is_in_step) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nodes)
    }

    /// Whether it takes writes, as a single server or as a primary.
    pub fn is_primary(&self) -> bool {
        self.command(&["INFO", "replication"])
            .contains("role:master")
    }

    /// Starts the server again after [`kill`](Self::kill), with what it saved on command, or empty.
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

    /// Kills the server at once. It loses everything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends the server a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Makes the server's registers of purges look old. Otherwise, a purge waits for replicas that may not have noticed an emptied store.
    pub fn settle(&self) {
        for key in self.command(&["KEYS", "*:begun"]).lines() {
            self.command(&["SET", key, "1"]);
        }
    }

    /// The output of a command.
    pub fn command(&self, words: &[&str]) -> String {
        command(self.port, words)
    }
}

/// The output of a command to the server at `port`.
fn command(port: u16, words: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(words)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn file(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

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

/// A sentinel that watches one primary, `main`. It ends when dropped. It is patient: on a busy machine, half a second without an answer
/// does not mean that the primary is dead.
#[derive(Debug)]
pub struct Sentinel {
    child: Child,
    _folder: TempDir,
    port: u16,
}

impl Sentinel {
    /// Starts a sentinel with additional lines in its configuration.
    pub fn of(primary: &Redis, more: &str) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 600000\nsentinel failover-timeout main 3000\n{more}\n",
            folder.path().display(),
            primary.port,
        );
        fs::write(&file, lines).unwrap();
        let child = Command::new("redis-server")
            .arg(file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            _folder: folder,
            port,
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Whether the sentinel knows of a replica of its primary, which it learns from the primary.
    pub fn knows_a_replica(&self) -> bool {
        !command(self.port, &["SENTINEL", "REPLICAS", "main"]).is_empty()
    }

    /// Makes the sentinel consider the primary dead after this many milliseconds without an answer.
    pub fn give_up_after(&self, millis: &str) {
        let name = "down-after-milliseconds";
        command(self.port, &["SENTINEL", "SET", "main", name, millis]);
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that a test is skipped because a program is missing.
pub fn ignored(program: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln!`, whose output the harness captures.
    let told = format!("\nIGNORED: {name} needs {program}, which is not installed\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// A free port, below 55,000: a node of a cluster also uses the port 10,000 above.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}
