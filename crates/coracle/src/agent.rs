//! A node of a cluster elsewhere: joins, then runs pods until it is told to end.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use coracle_net::mesh::{Bound, Member, Mesh};
use coracle_node::joining::{self, Joined, Joining};
use coracle_node::membership::{CONTROL_PLANE, MESH_PURPOSE, mesh_config};
use coracle_stdx::{Backoff, CancellationToken, Scope};
use http::Uri;
use kube::Client;
use std::time::Duration;
use tracing::{info, warn};

use crate::control_plane::make_private_dir;
use crate::layout::Layout;
use crate::machine::Machine;
use crate::node_names;
use crate::settings::Agent;

const RETRY_BASE: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
const HTTPS_PORT: u16 = 443;

/// Runs a node until `token` is cancelled, or it fails.
pub(crate) async fn run(settings: Agent, token: CancellationToken) -> Result<()> {
    let data_dir = settings.data_dir();
    make_private_dir(&data_dir)?;
    let name = match &settings.name {
        Some(name) => name.clone(),
        None => node_names::first(&data_dir)?,
    };
    let joining =
        Joining { server: settings.server.clone(), token: settings.token.clone(), name, dir: data_dir.clone() };
    let joined = joining::join(joining, token.clone()).await?;
    let client = joined.client();
    let record = data_dir.join("record");
    make_private_dir(&record)?;
    let bound = bind(&joined, settings.listen, &record.join("port"))?;
    let server = resolve(&joined.server, &token).await?;
    let Some(layout) = layout(coracle_node::remembering(&client, record.clone()), &token).await else { return Ok(()) };

    let mut config = coracle_node::Config::new(&joined.name, data_dir.join("node"));
    config.remembers = true;
    config.max_pods = settings.node.max_pods;
    config.addresses = if settings.address.is_empty() { vec![own_address(server)?] } else { settings.address.clone() };
    config.port = bound.mesh.port();
    let node_ports = settings.node.node_port_address.unwrap_or(settings.listen.ip());

    let mut scope = Scope::child_of(&token);
    let (n_pods, ca_pem) = (config.max_pods, &joined.ca_pem);
    let mut machine =
        Machine::open(layout, client.clone(), &data_dir, Some(record), n_pods, node_ports, ca_pem).await?;
    let control_plane = Member { addresses: vec![server], networks: Vec::new() };
    machine.neighbours.add_member(CONTROL_PLANE, control_plane);
    let name = joined.name.clone();
    scope.spawn(|token| async move {
        joined.keep_certified(token).await;
        Ok(())
    });
    // Nobody in this process asks it: the control plane does, over the mesh.
    drop(machine.start_node(config, client, bound, &mut scope).await?);
    machine.serve_names(settings.node.name_server(), &mut scope).await?;
    machine.run(&mut scope).await;
    info!(node = %name, "node ready for pods");
    scope.join().await.context("run the node")
}

/// Listens for other nodes, where it can at the port of the last time: there they look for it, also while the API server
/// cannot tell them of another.
fn bind(joined: &Joined, listen: SocketAddr, kept: &Path) -> Result<Bound> {
    let bind = |address| {
        let secret = joined.secret(MESH_PURPOSE);
        let config = mesh_config(&joined.name, address, &joined.ca_pem, &joined.identity, secret)?;
        anyhow::Ok(Mesh::bind(config)?)
    };
    let last = std::fs::read_to_string(kept).ok().and_then(|port| port.parse().ok());
    let again = last.filter(|_| listen.port() == 0).and_then(|port| bind(SocketAddr::new(listen.ip(), port)).ok());
    let bound = again.map_or_else(|| bind(listen), Ok)?;
    coracle_pki::write_private(kept, bound.mesh.port().to_string().as_bytes())?;
    Ok(bound)
}

/// How the cluster is laid out, however long the API server takes; `None` when told to stop meanwhile.
async fn layout(client: Client, token: &CancellationToken) -> Option<Layout> {
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    loop {
        match token.run_until_cancelled(Layout::learn(client.clone())).await? {
            Ok(layout) => return Some(layout),
            Err(error) => warn!("{error:#}, trying again"),
        }
        token.run_until_cancelled(tokio::time::sleep(backoff.next_delay_jittered())).await?;
    }
}

async fn resolve(server: &Uri, token: &CancellationToken) -> Result<SocketAddr> {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = (host, server.port_u16().unwrap_or(HTTPS_PORT));
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    loop {
        match tokio::net::lookup_host(address).await.map(|mut found| found.next()) {
            Ok(Some(found)) => return Ok(found),
            outcome => warn!(host, error = ?outcome.err(), "server not resolved, trying again"),
        }
        let pause = tokio::time::sleep(backoff.next_delay_jittered());
        token.run_until_cancelled(pause).await.context("told to stop before the server's name resolved")?;
    }
}

/// The address of this machine from which the server is reached. Nothing is sent.
fn own_address(server: SocketAddr) -> Result<IpAddr> {
    let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let probe = std::net::UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(server)?;
        socket.local_addr()
    });
    Ok(probe.with_context(|| format!("find this machine's address towards {server}; say it with --address"))?.ip())
}
