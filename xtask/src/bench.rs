//! `cargo xtask bench`: installs the peers and runs the benchmarks of the crate `tests` in a release build.

use crate::shell::{Result, cargo, command, run, target};
use crate::{tools, workloads};

/// Peers that not every machine can run.
const OPTIONAL: &[(&str, &str)] =
    &[("haproxy", "haproxy"), ("wireguard-go", "wireguard-go"), ("wg", "wireguard-tools")];

pub(crate) fn run_all(names: &[String]) -> Result<()> {
    workloads::build()?;
    let bin = tools::install()?;
    tools::debian("wrk", "wrk")?;
    tools::debian("etcd", "etcd-server")?;
    for (program, package) in OPTIONAL {
        if let Err(why) = tools::debian(program, package) {
            eprintln!("{why}: what needs it is skipped");
        }
    }
    let wasmtime = tools::wasmtime()?;
    run(cargo().args(["build", "--release", "--locked", "-p", "coracle", "-p", "coracle-tests", "--bins"]))?;
    run(cargo().args(["build", "--release", "--locked", "-p", "coracle", "-p", "coracle-net", "--example", "quic"]))?;
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "coracle",
        "-p",
        "coracle-proxy",
        "--example",
        "table",
    ]))?;
    let release = target().join("release");
    run(command(release.join("bench"))
        .args(names)
        .env("CORACLE_BIN", release.join("coracle"))
        .env("KUBECTL", bin.join("kubectl"))
        .env("WASMTIME", wasmtime)
        .env("NETCAT", workloads::for_host("netcat")?)
        .env("QUIC", release.join("examples/quic"))
        .env("SERVICE_TABLE", release.join("examples/table"))
        .env("WORKLOADS", target().join("workloads")))
}
