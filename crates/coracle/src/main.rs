//! A whole WebAssembly cluster in one binary: reads settings, composes roles, drains. It decides nothing else.

mod agent;
mod certified;
mod cluster;
mod control_plane;
mod layout;
mod machine;
mod node_names;
mod nodes;
mod settings;
mod signals;
mod steps;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use coracle_stdx::CancellationToken;

use settings::{Command, Settings};

/// Requests, answers and watches are made of many small values that one thread allocates and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Polls of tasks before a worker looks for input and output: guests that compute must not delay others' for long.
const POLLS_BEFORE_IO: u32 = 11;

fn main() -> ExitCode {
    let settings = Settings::parse();
    match settings.command {
        Command::Sandbox => return serve_agent(coracle_runtime::isolated::run),
        Command::Compile => return serve_agent(coracle_runtime::compiler::run),
        Command::Up(_) | Command::Server(_) | Command::Agent(_) | Command::Client(_) => {}
    }
    // A server's log is its only voice; elsewhere somebody looks at what is printed.
    start_logging(if matches!(settings.command, Command::Server(_) | Command::Agent(_)) { "info" } else { "warn" });
    rustls::crypto::ring::default_provider().install_default().expect("nothing has chosen a provider before main");
    match run(settings.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().event_interval(POLLS_BEFORE_IO).enable_all().build()?;
    let result = runtime.block_on(async {
        let token = CancellationToken::new();
        match command {
            Command::Up(up) => signals::drain_on_signal(&token, cluster::up(up.into(), token.clone())).await,
            Command::Server(server) => {
                signals::drain_on_signal(&token, cluster::up(server.into(), token.clone())).await
            }
            Command::Agent(agent) => signals::drain_on_signal(&token, agent::run(agent, token.clone())).await,
            Command::Sandbox | Command::Compile => unreachable!("they have processes without any of this"),
            Command::Client(command) => coracle_cli::run(command, &mut std::io::stdout()).await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// A process that does one thing for an agent. It must not have begun any other thread.
fn serve_agent(run: fn() -> ExitCode) -> ExitCode {
    if coracle_runtime::is_started_by_agent() {
        return run();
    }
    eprintln!("coracle: only an agent starts this");
    ExitCode::FAILURE
}

/// Logs go to standard error, as `CORACLE_LOG` asks (the syntax of tracing's `EnvFilter`).
fn start_logging(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CORACLE_LOG").unwrap_or_else(|_| default.into());
    let stderr = std::io::stderr;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
}
