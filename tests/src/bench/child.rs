//! Programs that a benchmark starts beside the cluster: they end with it, and what they take is counted.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::cpu_seconds;

/// A program that runs until this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("start {command:?}"))?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program prints.
pub(crate) fn ask(command: &mut Command) -> Result<String> {
    let out = command.env_remove("RUST_BACKTRACE").output().with_context(|| format!("start {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?}: {}", coracle_tests::cluster::said(&out));
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// CPU seconds of several programs together.
pub(crate) fn cpu_of(pids: &[u32]) -> Result<f64> {
    pids.iter().map(|pid| cpu_seconds(*pid)).sum()
}

/// A program that `cargo xtask bench` built or found.
pub(crate) fn given(variable: &str) -> Result<PathBuf> {
    let path =
        std::env::var_os(variable).with_context(|| format!("{variable} names no program: run `cargo xtask bench`"));
    path.map(PathBuf::from)
}

/// Whether a program is installed; says so when it is not.
pub(crate) fn is_there(program: &str) -> bool {
    let there = Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|found| found.success());
    if !there {
        println!("  skipped: {program} is not installed here");
    }
    there
}
