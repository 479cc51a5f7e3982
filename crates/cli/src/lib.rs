//! The verbs of the command line: kubectl's grammar, over HTTPS, with kubeconfig files.
//!
//! [`Command`] is what clap parses, and [`run`] does it. Which resource types exist, what their columns are and what a
//! row says comes from the server: nothing here knows a kind by name, except where the verb is about that kind (`logs`
//! is about pods, `rollout` about deployments).
//!
//! Results go to the writer that the caller gives; remarks that are no result go to standard error.

use std::io::Write;

mod api_resources;
mod apply;
mod connect;
mod coredump;
mod delete;
mod describe;
mod discovery;
mod get;
mod logs;
mod manifests;
mod net;
mod output;
mod push;
mod rollout;
mod scale;
mod server;
mod table;
mod targets;
mod token;
mod watch;

/// What the command line can ask of a cluster.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show resources as a table, or as they are
    Get(get::Get),
    /// Show resources in detail, with their events
    Describe(describe::Describe),
    /// Bring resources to the state that files describe (server-side apply)
    Apply(apply::Apply),
    /// Delete resources by type and name, label, or file
    Delete(delete::Delete),
    /// Print what a pod's containers wrote
    Logs(logs::Logs),
    /// Fetch the core dump of a container whose guest trapped
    Coredump(coredump::Coredump),
    /// Set the number of replicas
    Scale(scale::Scale),
    /// Follow, undo or restart a deployment's rollout
    Rollout(rollout::Rollout),
    /// Upload a .wasm file into the cluster's image registry
    Push(push::Push),
    /// Show the links between nodes: direct or relayed, round trip, loss, bytes
    Net(net::Net),
    /// Make, list and revoke the tokens by which machines join as nodes
    Token(token::Token),
    /// List the resource types that the server knows
    ApiResources(api_resources::ApiResources),
}

/// Does what the command says, and writes its result to `out`.
pub async fn run(command: Command, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    match command {
        Command::Get(get) => get.run(out).await,
        Command::Describe(describe) => describe.run(out).await,
        Command::Apply(apply) => apply.run(out).await,
        Command::Delete(delete) => delete.run(out).await,
        Command::Logs(logs) => logs.run(out).await,
        Command::Coredump(coredump) => coredump.run(out).await,
        Command::Scale(scale) => scale.run(out).await,
        Command::Rollout(rollout) => rollout.run(out).await,
        Command::Push(push) => push.run(out).await,
        Command::Net(net) => net.run(out).await,
        Command::Token(token) => token.run(out).await,
        Command::ApiResources(api_resources) => api_resources.run(out).await,
    }
}
