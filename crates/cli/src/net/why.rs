//! `net why`: the way of a connection from a pod to a target, step by step, and where and why it ends. It asks the API for
//! what decides, and the pod's node for its links; the walk itself is pure.

mod walk;

use std::io::Write;

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};

use self::walk::{Link, Target, World, walk};
use crate::connect::Connection;
use crate::discovery::{array, text};
use crate::net::links;

const CLUSTER_DOMAIN: &str = "cluster.local";

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The pod that connects
    pod: String,
    /// Where to: a name or an address, and a port unless the service has only one
    target: String,
    /// Datagrams, not connections
    #[arg(long)]
    udp: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Why {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let target = Target::parse(&self.target, self.udp)?;
        let server = self.connection.open().await?;
        let pod: Api<Pod> = Api::namespaced(server.client.clone(), &server.namespace);
        let pod = pod.get(&self.pod).await.with_context(|| format!("read pod {}", self.pod))?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        // Without the node's word on its links the walk goes on: it then ends there.
        let links = links(&server, &node).await.map(|links| array(&links).map(link).collect()).unwrap_or_default();
        let world = World {
            pod,
            links,
            domain: domain(&server.client).await,
            services: all::<Service>(&server.client).await?,
            slices: all::<EndpointSlice>(&server.client).await?,
            nodes: all::<Node>(&server.client).await?,
        };
        let way = walk(&world, &target);
        for step in &way.steps {
            writeln!(out, "{:<10} {}", step.what, step.text)?;
        }
        match way.failure {
            None => Ok(()),
            Some(why) => bail!("{} does not reach {}: {why}", self.pod, self.target),
        }
    }
}

async fn all<K>(client: &Client) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let listed = Api::<K>::all(client.clone()).list(&kube::api::ListParams::default()).await;
    Ok(listed.with_context(|| format!("list {}", K::plural(&())))?.items)
}

/// The cluster's domain, as it was made known to nodes.
async fn domain(client: &Client) -> String {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let published = api.get_opt("cluster-info").await.ok().flatten();
    let domain = published.and_then(|map| map.data?.remove("clusterDomain"));
    domain.unwrap_or_else(|| CLUSTER_DOMAIN.to_owned())
}

fn link(reported: &serde_json::Value) -> Link {
    let relay = reported["relay"].as_str().map(str::to_owned);
    Link { peer: text(&reported["peer"]).to_owned(), state: text(&reported["state"]).to_owned(), relay }
}
