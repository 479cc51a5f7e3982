//! Makes the node known to the API server, keeps its status true, and waits for its pod network.

mod describe;

use std::time::Duration;

use coracle_client::{Heartbeat, Informer, Key, is_already_exists, is_not_found};
use coracle_stdx::{Backoff, CancellationToken, Scope};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use tracing::{info, warn};

pub(crate) use describe::allocatable;

use crate::error::chain;
use crate::{Config, Error};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A node that knows its networks waits no longer for the API server.
const PATIENCE: Duration = Duration::from_secs(3);
const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Registers the node, or finds it registered, and returns the networks of its pods once they are known.
///
/// It comes before [`crate::Node::new`], because the pod network must be known to make the node's fabric.
pub async fn join(config: &Config, client: &Client, token: CancellationToken) -> Result<Vec<IpNet>, Error> {
    let known = kept_networks(config);
    let found = match known.clone() {
        Some(kept) => match tokio::time::timeout(PATIENCE, try_register(config, client)).await {
            Ok(Ok(node)) => Some(networks(&node)).filter(|networks| !networks.is_empty()).unwrap_or(kept),
            Ok(Err(_)) | Err(_) => {
                info!(node = %config.name, "API server away, began with the networks that were last known");
                kept
            }
        },
        None => first_networks(config, client, &token).await?,
    };
    if known.as_ref() != Some(&found) {
        keep_networks(config, &found);
    }
    Ok(found)
}

/// What was last known, where the node keeps it.
fn kept_networks(config: &Config) -> Option<Vec<IpNet>> {
    let bytes = std::fs::read(config.networks_record()?).ok()?;
    serde_json::from_slice(&bytes).ok().filter(|networks: &Vec<IpNet>| !networks.is_empty())
}

fn keep_networks(config: &Config, networks: &[IpNet]) {
    let Some(path) = config.networks_record() else { return };
    let bytes = serde_json::to_vec(networks).expect("networks are JSON");
    let made = std::fs::create_dir_all(&config.data_dir).map_err(|error| error.to_string());
    let written = made.and_then(|()| coracle_pki::write_private(&path, &bytes).map_err(|error| error.to_string()));
    if let Err(error) = written {
        warn!(path = %path.display(), error, "networks not kept");
    }
}

async fn first_networks(config: &Config, client: &Client, token: &CancellationToken) -> Result<Vec<IpNet>, Error> {
    let node = register(config, client, token).await?;
    info!(node = %config.name, "node registered");
    let networks = networks(&node);
    if !networks.is_empty() {
        return Ok(networks);
    }
    if !config.pod_cidrs.is_empty() {
        return Ok(config.pod_cidrs.clone());
    }
    let waited = token.run_until_cancelled(allocated(config, client, token)).await;
    waited.flatten().ok_or_else(|| Error::NoPodNetwork { node: config.name.clone() })
}

async fn register(config: &Config, client: &Client, token: &CancellationToken) -> Result<Node, Error> {
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    loop {
        let failed = |source: kube::Error| Error::Register { node: config.name.clone(), source: Box::new(source) };
        match try_register(config, client).await {
            Ok(node) => return Ok(node),
            // What the server understood and refused does not change by itself.
            Err(error @ kube::Error::Api(_)) if !is_passing(&error) => return Err(failed(error)),
            Err(error) => {
                warn!(node = %config.name, error = %chain(&error), "node not registered, trying again");
                let pause = tokio::time::sleep(backoff.next_delay_jittered());
                if token.run_until_cancelled(pause).await.is_none() {
                    return Err(failed(error));
                }
            }
        }
    }
}

fn is_passing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code >= 500 || status.code == 429 || status.code == 409)
}

async fn try_register(config: &Config, client: &Client) -> kube::Result<Node> {
    let api: Api<Node> = Api::all(client.clone());
    let wanted = describe::node(config);
    let node = match api.create(&PostParams::default(), &wanted).await {
        Err(error) if is_already_exists(&error) => {
            let labels = json!({"metadata": {"labels": wanted.metadata.labels}});
            api.patch(&config.name, &PatchParams::default(), &Patch::Merge(labels)).await?
        }
        created => created?,
    };
    Ok(node)
}

fn networks(node: &Node) -> Vec<IpNet> {
    let spec = node.spec.iter();
    let all = spec.flat_map(|spec| match &spec.pod_cidrs {
        Some(several) if !several.is_empty() => several.iter().collect(),
        Some(_) | None => spec.pod_cidr.iter().collect::<Vec<_>>(),
    });
    all.filter_map(|network| network.parse().ok()).collect()
}

/// Waits until the node's spec names its networks.
async fn allocated(config: &Config, client: &Client, token: &CancellationToken) -> Option<Vec<IpNet>> {
    let mut scope: Scope = Scope::child_of(token);
    let nodes: Informer<Node> =
        Informer::new(Api::all(client.clone())).fields(format!("metadata.name={}", config.name));
    nodes.start(&mut scope);
    let mut changed = nodes.changed();
    loop {
        changed.borrow_and_update();
        let networks = nodes.get("", &config.name).map(|node| networks(&node)).unwrap_or_default();
        if !networks.is_empty() {
            return Some(networks);
        }
        changed.changed().await.ok()?;
    }
}

/// Keeps the node's status and its lease fresh, until the token is cancelled.
pub(crate) async fn keep(config: Config, client: Client, token: CancellationToken) {
    let mut scope: Scope = Scope::child_of(&token);
    let (lease_config, lease_client) = (config.clone(), client.clone());
    scope.spawn(|token| async move {
        beat(lease_config, lease_client, token).await;
        Ok(())
    });
    scope.spawn(|token| async move {
        report(config, client, token).await;
        Ok(())
    });
    if let Err(error) = scope.join().await {
        warn!(error = &*error as &dyn std::error::Error, "node is no longer reported");
    }
}

async fn beat(config: Config, client: Client, token: CancellationToken) {
    let api: Api<Node> = Api::all(client.clone());
    let key = Key::new(LEASE_NAMESPACE, &config.name);
    let mut heartbeat = Heartbeat::new(client, key, &config.name, config.lease, config.clock.clone());
    if let Some(Ok(node)) = token.run_until_cancelled(api.get(&config.name)).await {
        heartbeat = heartbeat.owned_by(owner(&node));
    }
    heartbeat.run(config.heartbeat, token).await;
}

fn owner(node: &Node) -> OwnerReference {
    OwnerReference {
        api_version: Node::api_version(&()).into_owned(),
        kind: Node::kind(&()).into_owned(),
        name: node.name_any(),
        uid: node.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

async fn report(config: Config, client: Client, token: CancellationToken) {
    let api: Api<Node> = Api::all(client.clone());
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    while !token.is_cancelled() {
        let pause = match token.run_until_cancelled(say_ready(&config, &client, &api)).await {
            Some(Err(error)) => {
                warn!(node = %config.name, error = %chain(&error), "node status not written, trying again");
                backoff.next_delay_jittered()
            }
            Some(Ok(())) | None => {
                backoff.reset();
                config.status_interval
            }
        };
        token.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

async fn say_ready(config: &Config, client: &Client, api: &Api<Node>) -> kube::Result<()> {
    let known = match api.get(&config.name).await {
        Err(error) if is_not_found(&error) => try_register(config, client).await?,
        known => known?,
    };
    let body = json!({"status": describe::ready(config, &known)});
    api.patch_status(&config.name, &PatchParams::default(), &Patch::Strategic(body)).await.map(drop)
}
