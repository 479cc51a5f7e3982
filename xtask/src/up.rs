//! `cargo xtask up`: from a clone to a cluster with a sample workload that answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::shell::{self, Result, cargo, command, target};
use crate::workloads;

const READY_WITHIN: Duration = Duration::from_secs(60);
const SAMPLE_PORT: u16 = 30080;

pub(crate) fn run(args: &[String]) -> Result<()> {
    workloads::build()?;
    shell::run(cargo().args(["build", "--release", "--locked", "-p", "coracle"]))?;
    let coracle = target().join("release/coracle");
    let data_dir = data_dir(args);
    let kubeconfig = data_dir.join("kubeconfig");
    let _ = std::fs::remove_file(&kubeconfig);

    let mut up = command(&coracle);
    up.arg("up").args(args);
    if !args.iter().any(|arg| arg.starts_with("--data-dir")) {
        up.arg("--data-dir").arg(&data_dir);
    }
    let mut cluster = up.spawn().map_err(|error| format!("start {}: {error}", coracle.display()))?;
    if let Err(error) = deploy_sample(&coracle, &kubeconfig, &mut cluster) {
        let _ = cluster.kill();
        let _ = cluster.wait();
        return Err(error);
    }
    println!(
        "\n  hello-http answers at  http://127.0.0.1:{SAMPLE_PORT}/\n  Ctrl-C ends the cluster; the same command brings it back.\n"
    );
    match cluster.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("coracle up ended with {status}")),
        Err(error) => Err(format!("wait for coracle up: {error}")),
    }
}

fn data_dir(args: &[String]) -> PathBuf {
    let given = args.iter().position(|arg| arg == "--data-dir").and_then(|at| args.get(at + 1)).cloned();
    let given = given.or_else(|| args.iter().find_map(|arg| arg.strip_prefix("--data-dir=").map(str::to_owned)));
    given.map_or_else(|| target().join("up"), PathBuf::from)
}

fn deploy_sample(coracle: &Path, kubeconfig: &Path, cluster: &mut Child) -> Result<()> {
    wait(cluster, "the kubeconfig", || kubeconfig.exists())?;
    let wasm = target().join("workloads/hello-http.wasm");
    let cli = || {
        let mut cli = command(coracle);
        cli.env("KUBECONFIG", kubeconfig);
        cli
    };
    shell::run(cli().arg("push").arg(wasm).arg("hello-http:v1"))?;
    shell::run(cli().args(["apply", "-f", "workloads/hello-http/manifest.yaml"]))?;
    wait(cluster, "an answer of hello-http", || answers(SAMPLE_PORT))
}

/// Looks every 50 ms until `done`, and gives up when the cluster ends or time is over.
fn wait(cluster: &mut Child, what: &str, done: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !done() {
        if let Ok(Some(status)) = cluster.try_wait() {
            return Err(format!("coracle up ended with {status} before {what}"));
        }
        if start.elapsed() > READY_WITHIN {
            return Err(format!("waited {READY_WITHIN:?} for {what}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut head = [0; 12];
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    stream.write_all(b"GET / HTTP/1.1\r\nhost: hello\r\nconnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head.ends_with(b"200")
}
