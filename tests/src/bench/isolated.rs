//! A guest that computes: in a pod of class `isolated`, and in a pod without a class, against `wasmtime run`. The guest
//! itself says how long it took.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use coracle_tests::cluster::{Cluster, workload_file};

use crate::{Spread, report_spread};

const N_ROUNDS: usize = 7;
/// Rounds of the guest's work: a second or two.
const WORK: &str = "400";

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("hog", "hog:v1");
    let (mut isolated, mut shared, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..N_ROUNDS {
        isolated.push(pod(&cluster, &format!("isolated-{round}"), r#"{"spec":{"runtimeClassName":"isolated"}}"#)?);
        peer.push(wasmtime()?);
        shared.push(pod(&cluster, &format!("shared-{round}"), "{}")?);
    }
    let (isolated, shared, peer) = (Spread::of(isolated), Spread::of(shared), Spread::of(peer));
    report_spread("a guest that computes, isolated", &isolated, "ms", "wasmtime run 48", &peer);
    report_spread("a guest that computes, in the agent", &shared, "ms", "wasmtime run 48", &peer);
    Ok(())
}

fn pod(cluster: &Cluster, name: &str, overrides: &str) -> Result<f64> {
    let overrides = format!("--overrides={overrides}");
    cluster.ask(&["run", name, "--image=hog:v1", "--restart=Never", &overrides, "--", "work", WORK]);
    cluster.ask(&["wait", "--for=jsonpath={.status.phase}=Succeeded", &format!("pod/{name}"), "--timeout=120s"]);
    took_ms(&cluster.ask(&["logs", name]))
}

fn wasmtime() -> Result<f64> {
    let wasmtime = std::env::var_os("WASMTIME").map_or_else(|| PathBuf::from("wasmtime"), PathBuf::from);
    let mut run = Command::new(wasmtime);
    run.env_remove("RUST_BACKTRACE").arg("run").arg(workload_file("hog")).args(["work", WORK]);
    let out = run.output().context("run wasmtime")?;
    if !out.status.success() {
        bail!("wasmtime run: {}", String::from_utf8_lossy(&out.stderr));
    }
    took_ms(&String::from_utf8_lossy(&out.stdout))
}

fn took_ms(said: &str) -> Result<f64> {
    let words = said.lines().find_map(|line| line.strip_prefix("worked for ")).with_context(|| said.to_owned())?;
    Ok(words.trim_end_matches(" ms").parse()?)
}
