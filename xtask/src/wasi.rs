//! `cargo xtask wasi DIR [PART-OF-A-NAME]`: runs WASI's conformance programs, built elsewhere, as containers.

use crate::shell::{Result, cargo, run};

pub(crate) fn measure(args: &[String]) -> Result<()> {
    let [dir, rest @ ..] = args else { return Err("usage: cargo xtask wasi DIR [PART-OF-A-NAME]".to_owned()) };
    run(cargo().args(["run", "--locked", "-p", "coracle-net", "--example", "wasi", "--"]).arg(dir).args(rest))
}
