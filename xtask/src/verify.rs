//! `cargo xtask test` and `cargo xtask lint`.

use std::ffi::OsString;

use crate::shell::{Result, cargo, run, target};
use crate::{tools, workloads};

/// Builds everything once, then runs every test of the workspace: the stories find the binary beside their own.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let bin = tools::install()?;
    workloads::build()?;
    let path = path_with(&bin)?;
    run(cargo().args(["build", "--workspace", "--bins", "--tests", "--locked"]))?;
    run(cargo()
        .args(["nextest", "run", "--workspace", "--locked"])
        .args(args)
        .env("PATH", path)
        .env("CORACLE_BIN", target().join("debug/coracle")))
}

pub(crate) fn lint() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn path_with(first: &std::path::Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(dirs).map_err(|error| format!("compose PATH: {error}"))
}
