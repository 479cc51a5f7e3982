//! The engine behind every recipe: it installs what it needs, builds, tests and measures. It never needs a network
//! beyond the package registries.

mod bench;
mod descriptions;
mod fuzz;
mod oracle;
mod shell;
#[cfg(test)]
mod tidy;
mod tools;
mod up;
mod verify;
mod wasi;
mod workloads;

use shell::Result;

const USAGE: &str = "\
cargo xtask <command>

  up [ARGS…]     build everything and run a cluster with a sample workload; ARGS go to `coracle up`
  test [ARGS…]   build everything and run every test; ARGS go to `cargo nextest run`
  workloads      build workloads/ into target/workloads/<name>.wasm
  bench [NAME…]  measure against named peers, as ratios
  oracle [--write] [--kubeconfig FILE] [AREA[/NAME]]
                 replay exchanges with a real API server and print what differs; --write rewrites the list of differences
  descriptions   take the descriptions of types and fields from k8s-openapi's sources into crates/api/data
  fuzz [TARGET] [SECONDS]
                 search for inputs that a parser cannot take; all but the nodes' without a TARGET
  wasi DIR [PART-OF-A-NAME]
  wasi --suite CHECKOUT
                 run WASI's conformance programs in DIR, or the wasi-testsuite, as containers, and print how each went
  lint           rustfmt and clippy
  tools          install the tools that tests use into target/tools";

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    std::env::set_current_dir(shell::root()).map_err(|error| format!("enter the workspace: {error}"))?;
    let (command, rest) = args.split_first().map_or(("help", args), |(first, rest)| (first.as_str(), rest));
    match command {
        "up" => up::run(rest),
        "test" => verify::test(rest),
        "lint" => verify::lint(),
        "workloads" => workloads::build(),
        "descriptions" => descriptions::extract(),
        "oracle" => oracle::run(rest),
        "bench" => bench::run_all(rest),
        "fuzz" => fuzz::fuzz(rest),
        "wasi" => wasi::measure(rest),
        "tools" => tools::install().map(|_| ()),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no command {other:?}\n\n{USAGE}")),
    }
}
