//! A cluster in the foreground: the control plane first, then the nodes; and at the end the other way round.

use anyhow::{Context, Result};
use coracle_api::identity::User;
use coracle_stdx::{CancellationToken, Scope};

use crate::control_plane::ControlPlane;
use crate::nodes;
use crate::settings::Cluster;
use crate::steps::Steps;

/// Runs a cluster until `token` is cancelled, or a part of it fails.
pub(crate) async fn up(settings: Cluster, token: CancellationToken) -> Result<()> {
    let mut steps = Steps::start();
    // The API serves until everything that uses it has ended.
    let mut serving = Scope::child_of(&CancellationToken::new());
    let mut control_plane = ControlPlane::start(&settings, &mut serving, &mut steps).await?;
    let mut working = Scope::child_of(&token);
    control_plane.start_loops(&settings, &mut working);
    control_plane.start_roads(&mut working);
    let layout = settings.layout();
    layout.publish(control_plane.client(User::admin())).await?;
    match settings.n_nodes {
        0 => control_plane.follow_nodes(&mut working),
        _ => nodes::start(&settings, &control_plane, &mut working, &mut steps).await?,
    }
    let kubeconfig = control_plane.write_kubeconfig(&settings.data_dir)?;
    steps.ready(&kubeconfig);
    let result = run(working, &mut serving).await;
    serving.cancel();
    let drained = serving.join().await;
    result.and(drained).context("run the cluster")
}

/// Runs until the workers have ended, or the API has failed under them.
async fn run(working: Scope<anyhow::Error>, serving: &mut Scope<anyhow::Error>) -> Result<()> {
    let token = working.token().clone();
    let working = working.join();
    tokio::pin!(working);
    tokio::select! {
        result = &mut working => result,
        Some(ended) = serving.join_next() => {
            token.cancel();
            ended.and(working.await)
        }
    }
}
