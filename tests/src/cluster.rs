//! A cluster of one real process in a directory of its own, and the real clients that talk to it.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::wait;

/// A running `coracle up`. Dropping it kills the process; [`Cluster::stop`] ends it as a user would.
#[derive(Debug)]
pub struct Cluster {
    process: Child,
    data_dir: PathBuf,
}

impl Cluster {
    /// Starts `coracle up` on `data_dir` with a port of its own, and returns once it says that it is ready.
    ///
    /// # Panics
    /// When the binary is missing or the cluster does not become ready.
    pub fn up(data_dir: &Path, args: &[&str]) -> Self {
        Self::up_at("127.0.0.1:0", data_dir, args)
    }

    /// The same at an address that is known before, such as [`Cluster::address`] of one that has ended.
    ///
    /// # Panics
    /// As [`Cluster::up`].
    pub fn up_at(address: &str, data_dir: &Path, args: &[&str]) -> Self {
        let kubeconfig = data_dir.join("kubeconfig");
        let _ = std::fs::remove_file(&kubeconfig);
        let mut process = Command::new(binary())
            .args(["up", "--listen", address, "--node-port-address", &loopback().to_string(), "--data-dir"])
            .arg(data_dir)
            .args(args)
            .env_remove("RUST_BACKTRACE") // it makes every error dear, in our process and in a benchmark's peer
            .env("CORACLE_LOG", std::env::var("CORACLE_LOG").unwrap_or_else(|_| "info".into()))
            .stdout(Stdio::piped())
            .stderr(log_file(data_dir))
            .spawn()
            .expect("start coracle: run `cargo xtask test`, which builds it");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("export KUBECONFIG="));
        assert!(ready, "coracle up ended before it was ready: {:?}; {}", process.wait(), read_log(data_dir));
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, data_dir: data_dir.to_owned() }
    }

    /// `kubectl ARGS` against this cluster.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.client(&kubectl()).args(args).output().expect("start kubectl")
    }

    /// What `kubectl ARGS` prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, args: &[&str]) -> String {
        let out = self.kubectl(args);
        assert!(out.status.success(), "kubectl {args:?}: {}\n{}", said(&out), read_log(&self.data_dir));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// `kubectl apply -f -` of a manifest given as text.
    pub fn apply(&self, manifest: &str) -> Output {
        self.kubectl_with_input(&["apply", "-f", "-"], manifest)
    }

    /// `kubectl ARGS` with `input` on its standard input.
    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut kubectl = self.client(&kubectl());
        let mut child = kubectl
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start kubectl");
        child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("write to kubectl");
        child.wait_with_output().expect("wait for kubectl")
    }

    /// `coracle ARGS` against this cluster.
    ///
    /// # Panics
    /// When it fails.
    pub fn coracle(&self, args: &[&str]) -> String {
        let out = self.client(&binary()).args(args).output().expect("start coracle");
        assert!(out.status.success(), "coracle {args:?}: {}", said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Pushes `target/workloads/WORKLOAD.wasm` as `image`.
    pub fn push(&self, workload: &str, image: &str) {
        let file = workload_file(workload);
        self.coracle(&["push", file.to_str().expect("paths here are UTF-8"), image]);
    }

    /// A command that knows this cluster by its kubeconfig.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.data_dir);
        command
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    /// Where a node port of this cluster is reached.
    pub fn node_port(&self, port: u16) -> SocketAddr {
        SocketAddr::new(loopback(), port)
    }

    /// Where the API server listens.
    ///
    /// # Panics
    /// When the kubeconfig names no server.
    pub fn address(&self) -> String {
        let server = self.ask(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
        server.strip_prefix("https://").expect("a ready cluster has a kubeconfig").to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What the process has logged so far.
    pub fn log(&self) -> String {
        read_log(&self.data_dir)
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().expect("kill coracle");
        self.process.wait().expect("wait for coracle");
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let term = Command::new("kill").arg(self.process.id().to_string()).status().expect("start kill");
        assert!(term.success());
        let status = wait::until("coracle to exit", || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        status.code()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A loopback address of this process's own, so that clusters side by side may open the same node ports.
fn loopback() -> IpAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, a | 128, b, c.max(1)))
}

/// The output of a command in one line, for messages.
pub fn said(out: &Output) -> String {
    format!("{} {}{}", out.status, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// A built workload.
///
/// # Panics
/// When it has not been built.
pub fn workload_file(name: &str) -> PathBuf {
    let file = workloads().join(format!("{name}.wasm"));
    assert!(file.exists(), "{} is missing: run `cargo xtask workloads`", file.display());
    file
}

/// True when a workload whose tool not every machine has was built.
pub fn has_workload(name: &str) -> bool {
    workloads().join(format!("{name}.wasm")).exists()
}

fn workloads() -> PathBuf {
    std::env::var_os("WORKLOADS").map_or_else(|| target().join("workloads"), PathBuf::from)
}

/// The manifest that goes with a workload.
pub fn manifest_file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace");
    root.join("workloads").join(name).join("manifest.yaml").to_str().expect("paths here are UTF-8").to_owned()
}

/// The binary under test: `CORACLE_BIN`, or the one built beside this test.
pub fn binary() -> PathBuf {
    std::env::var_os("CORACLE_BIN").map_or_else(|| target().join("debug/coracle"), PathBuf::from)
}

/// The kubectl that `cargo xtask tools` installed, or the one that `KUBECTL` names.
pub fn kubectl() -> PathBuf {
    std::env::var_os("KUBECTL").map_or_else(|| target().join("tools/bin/kubectl"), PathBuf::from)
}

/// The helm that `cargo xtask tools` installed, or the one that `HELM` names.
pub fn helm() -> PathBuf {
    std::env::var_os("HELM").map_or_else(|| target().join("tools/bin/helm"), PathBuf::from)
}

/// The Python that `cargo xtask tools` installed Kubernetes' client into, or the one that `PYTHON` names.
pub fn python() -> PathBuf {
    std::env::var_os("PYTHON").map_or_else(|| target().join("tools/python/bin/python"), PathBuf::from)
}

/// The target directory, seen from this program, which lies in it.
fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("a program knows its path");
    let found = exe.ancestors().find(|dir| dir.join("workloads").exists() || dir.join("tools").exists());
    found.unwrap_or_else(|| panic!("no target directory above {}: run `cargo xtask test`", exe.display())).to_owned()
}

fn log_file(data_dir: &Path) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).open(data_dir.join("up.log")).expect("open the log")
}

fn read_log(data_dir: &Path) -> String {
    let log = std::fs::read_to_string(data_dir.join("up.log")).unwrap_or_default();
    log.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}
