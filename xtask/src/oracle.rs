//! `cargo xtask oracle`: builds the binary and the replayer, and replays what was recorded with a real API server.

use crate::shell::{self, Result, cargo, command, target};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let server_is_given = std::env::var_os("CORACLE_BIN").is_some() || args.iter().any(|arg| arg == "--kubeconfig");
    if !server_is_given {
        shell::run(cargo().args(["build", "--locked", "-p", "coracle"]))?;
    }
    shell::run(cargo().args(["build", "--locked", "-p", "coracle-tests", "--bin", "oracle"]))?;
    shell::run(command(target().join("debug/oracle")).args(args))
}
