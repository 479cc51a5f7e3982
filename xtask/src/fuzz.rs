//! `cargo xtask fuzz [TARGET] [SECONDS]`: libFuzzer, guided by coverage, on the stable toolchain. New inputs are kept
//! below `target`; only what is worth keeping is put into the corpus, by hand.

use std::fs;

use crate::shell::{Result, cargo, command, run, target};

/// What cargo-fuzz asks of the compiler, without a sanitizer, which stable does not have.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on \
    --cfg fuzzing";
/// With a target named, build scripts and macros are left alone.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const SECONDS: &str = "60";
/// Targets that need the crate `node`, which brings the wasm compiler.
const OF_NODES: &[&str] = &["log", "spdy"];

pub(crate) fn fuzz(args: &[String]) -> Result<()> {
    let (targets, seconds) = match args {
        [] => (all()?, SECONDS),
        [target] => (vec![target.clone()], SECONDS),
        [target, seconds] => (vec![target.clone()], seconds.as_str()),
        _ => return Err("usage: cargo xtask fuzz [TARGET] [SECONDS]".to_owned()),
    };
    let features = if targets.iter().any(|name| OF_NODES.contains(&name.as_str())) { "guided,node" } else { "guided" };
    let dir = target().join("fuzz");
    run(cargo()
        .args(["build", "--release", "--locked", "-p", "coracle-fuzz", "--bin", "fuzz", "--no-default-features"])
        .args(["--features", features, "--target", TRIPLE])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_TARGET_DIR", &dir))?;
    for name in &targets {
        let found = dir.join("found").join(name);
        fs::create_dir_all(&found).map_err(|error| format!("create {}: {error}", found.display()))?;
        run(command(dir.join(TRIPLE).join("release/fuzz"))
            .arg(&found)
            .arg(format!("fuzz/corpus/{name}"))
            .args([&format!("-max_total_time={seconds}"), "-rss_limit_mb=2048", "-timeout=10", "-max_len=65536"])
            .args(["-print_final_stats=1", &format!("-artifact_prefix={}/", found.display())])
            .env("CORACLE_FUZZ_TARGET", name))?;
    }
    Ok(())
}

/// Every target that has a corpus, except those of nodes.
fn all() -> Result<Vec<String>> {
    let entries = fs::read_dir("fuzz/corpus").map_err(|error| format!("read fuzz/corpus: {error}"))?;
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !OF_NODES.contains(&name.as_str()));
    names.sort();
    Ok(names)
}
