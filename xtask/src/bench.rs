//! `cargo xtask bench`: installs the peers and runs the benchmarks of the crate `tests` in a release build.

use crate::shell::{Result, cargo, command, run, target};
use crate::{tools, workloads};

pub(crate) fn run_all(names: &[String]) -> Result<()> {
    workloads::build()?;
    let bin = tools::install()?;
    tools::debian("wrk", "wrk")?;
    tools::debian("etcd", "etcd-server")?;
    let wasmtime = tools::wasmtime()?;
    run(cargo().args(["build", "--release", "--locked", "-p", "coracle", "-p", "coracle-tests", "--bins"]))?;
    let release = target().join("release");
    run(command(release.join("bench"))
        .args(names)
        .env("CORACLE_BIN", release.join("coracle"))
        .env("KUBECTL", bin.join("kubectl"))
        .env("WASMTIME", wasmtime)
        .env("WORKLOADS", target().join("workloads")))
}
