//! `cargo xtask wasi DIR [PART-OF-A-NAME]`: runs WASI's conformance programs, built elsewhere, as containers.
//! `cargo xtask wasi --suite CHECKOUT`: runs WebAssembly's wasi-testsuite by its own runner.

use std::process::Command;

use crate::shell::{Result, cargo, root, run, target};

pub(crate) fn measure(args: &[String]) -> Result<()> {
    match args {
        [flag, checkout] if flag == "--suite" => suite(checkout),
        [dir, rest @ ..] if !dir.starts_with('-') => {
            run(cargo().args(["run", "--locked", "-p", "coracle-net", "--example", "wasi", "--"]).arg(dir).args(rest))
        }
        _ => Err("usage: cargo xtask wasi DIR [PART-OF-A-NAME] | --suite CHECKOUT".to_owned()),
    }
}

fn suite(checkout: &str) -> Result<()> {
    run(cargo().args(["build", "--locked", "-p", "coracle-net", "--example", "wasi"]))?;
    let mut runner = Command::new("python3");
    runner.arg(root().join("tests/wasi/run.py")).arg(checkout);
    run(runner.env("CORACLE_WASI", target().join("debug/examples/wasi")))
}
