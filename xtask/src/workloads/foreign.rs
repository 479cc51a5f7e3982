//! Workloads in other languages, each built by a tool from a package registry. A tool that cannot be had skips its
//! workload, and says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::shell::{Result, command, root, run, target};
use crate::tools::languages;

/// A guest that Rust did not make.
struct Foreign {
    name: &'static str,
    tool: fn() -> Result<PathBuf>,
    compile: fn(&Path, &Path) -> Command,
}

const FOREIGN: &[Foreign] = &[
    Foreign { name: "hello-c", tool: languages::zig, compile: c },
    Foreign { name: "hello-go", tool: languages::go, compile: go },
    Foreign { name: "hello-js", tool: languages::componentize_js, compile: javascript },
    Foreign { name: "hello-py", tool: languages::componentize_py, compile: python },
    Foreign { name: "ripgrep", tool: languages::ripgrep, compile: copy },
];

/// Builds what is older than its sources into `out`.
pub(super) fn build(out: &Path) {
    for foreign in FOREIGN {
        let wasm = out.join(format!("{}.wasm", foreign.name));
        if is_newer(&wasm, &sources(foreign.name)) {
            continue;
        }
        if let Err(error) = make(foreign, &wasm) {
            eprintln!("skipped the workload {}: {error}", foreign.name);
        }
    }
}

fn make(foreign: &Foreign, wasm: &Path) -> Result<()> {
    let tool = (foreign.tool)()?;
    // What fails half-way leaves nothing that looks built.
    let part = target().join("guests").join(format!("{}.wasm", foreign.name));
    run(&mut (foreign.compile)(&tool, &part))?;
    std::fs::rename(&part, wasm).map_err(|error| format!("write {}: {error}", wasm.display()))
}

fn c(zig: &Path, out: &Path) -> Command {
    let mut zig = command(zig);
    zig.args(["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os", "-s", "-o"]).arg(out);
    zig.arg(sources("hello-c").join("main.c"));
    zig
}

fn go(go: &Path, out: &Path) -> Command {
    let mut go = command(go);
    go.current_dir(sources("hello-go")).args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(out).arg(".");
    go.env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOTOOLCHAIN", "local").env("GOPROXY", "off");
    go
}

fn javascript(componentize: &Path, out: &Path) -> Command {
    let mut node = command("node");
    node.arg(sources("hello-js").join("build.mjs")).arg(componentize).arg(sources("wit")).arg(out);
    node
}

fn python(componentize: &Path, out: &Path) -> Command {
    let mut componentize = command(componentize);
    componentize.arg("-d").arg(sources("wit")).args(["-w", "server", "componentize", "app", "-o"]).arg(out);
    componentize.arg("-p").arg(sources("hello-py"));
    componentize
}

fn copy(built: &Path, out: &Path) -> Command {
    let mut copy = command("cp");
    copy.arg(built).arg(out);
    copy
}

fn sources(name: &str) -> PathBuf {
    root().join("workloads").join(name)
}

/// True when `file` is there, and nothing in `dir` was changed since.
fn is_newer(file: &Path, dir: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(built) = changed(file) else { return false };
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| changed(&entry.ok()?.path()));
    entries.max().unwrap_or(SystemTime::UNIX_EPOCH) <= built
}
