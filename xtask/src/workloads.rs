//! Builds the workspace `workloads/` into `target/workloads/<name>.wasm`.

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Result, cargo, root, run, target};
use crate::tools;

/// Workloads that are also built as wasip1 core modules, into `<name>-p1.wasm`.
const CORE_MODULES: &[&str] = &["job", "toolbox"];

pub(crate) fn build() -> Result<()> {
    tools::wasm_targets()?;
    let build = target().join("guests");
    let out = target().join("workloads");
    fs::create_dir_all(&out).map_err(|error| format!("create {}: {error}", out.display()))?;
    run(&mut guest_build("wasm32-wasip2", &build))?;
    collect(&build.join("wasm32-wasip2/release"), &out, "")?;
    let mut core = guest_build("wasm32-wasip1", &build);
    for name in CORE_MODULES {
        core.args(["-p", name]);
    }
    run(&mut core)?;
    collect(&build.join("wasm32-wasip1/release"), &out, "-p1")?;
    foreign::build(&out);
    Ok(())
}

/// Builds one of them as a program of the host, for what is the same on both sides.
pub(crate) fn for_host(name: &str) -> Result<PathBuf> {
    let build = target().join("guests");
    let mut command = cargo();
    command.current_dir(root().join("workloads")).env("CARGO_TARGET_DIR", &build);
    run(command.args(["build", "--locked", "--release", "-p", name]))?;
    Ok(build.join("release").join(name))
}

fn guest_build(triple: &str, build: &Path) -> std::process::Command {
    let mut command = cargo();
    command.current_dir(root().join("workloads")).env("CARGO_TARGET_DIR", build);
    command.args(["build", "--locked", "--release", "--target", triple]);
    command
}

/// Copies what changed, so that nothing downstream is rebuilt without need. A library's name has underscores; ours do not.
fn collect(from: &Path, to: &Path, suffix: &str) -> Result<()> {
    let entries = fs::read_dir(from).map_err(|error| format!("read {}: {error}", from.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let target = to.join(format!("{}{suffix}.wasm", stem.replace('_', "-")));
        let wasm = fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        if fs::read(&target).ok().as_ref() != Some(&wasm) {
            fs::write(&target, wasm).map_err(|error| format!("write {}: {error}", target.display()))?;
        }
    }
    Ok(())
}
