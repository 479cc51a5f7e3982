//! The nodes of the control plane's own process. They are as others are, but that their certificates need no asking.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use coracle_api::identity::User;
use coracle_net::mesh::{Bound, Mesh};
use coracle_node::membership::mesh_config;
use coracle_stdx::Scope;

use crate::control_plane::ControlPlane;
use crate::machine::Machine;
use crate::node_names;
use crate::settings::Cluster;
use crate::steps::Steps;

/// Starts all nodes in `scope`, and returns when they are ready for pods.
pub(crate) async fn start(
    settings: &Cluster,
    control_plane: &ControlPlane,
    scope: &mut Scope<anyhow::Error>,
    steps: &mut Steps,
) -> Result<()> {
    let client = control_plane.client(User::new("system:kube-proxy", &[]));
    let n_pods = u32::from(settings.n_nodes) * settings.max_pods;
    let (data_dir, node_ports) = (&settings.data_dir, settings.node_port_address);
    let ca_pem = control_plane.ca_pem();
    let mut machine = Machine::open(settings.layout(), client, data_dir, None, n_pods, node_ports, ca_pem).await?;
    steps.done("wasm engine ready");
    let first = node_names::first(&settings.data_dir)?;
    machine.neighbours.add_mesh(control_plane.mesh());
    for name in node_names::all(&first, settings.n_nodes) {
        let bound = bind(settings, control_plane, &name, scope)?;
        let config = node_config(settings, control_plane, &name, &bound.mesh);
        let router = machine.start_node(config, control_plane.client(User::node(&name)), bound, scope).await?;
        control_plane.api.kubelets().register(&name, router);
    }
    machine.serve_names(settings.name_server.clone(), scope).await?;
    machine.run(scope).await;
    steps.done(match settings.n_nodes {
        1 => "node ready for pods".to_owned(),
        n => format!("{n} nodes ready for pods"),
    });
    Ok(())
}

fn bind(
    settings: &Cluster,
    control_plane: &ControlPlane,
    name: &str,
    scope: &mut Scope<anyhow::Error>,
) -> Result<Bound> {
    let certified = control_plane.certify_node(name)?;
    let listen = SocketAddr::new(settings.common.listen.ip(), 0);
    let secret = control_plane.mesh_secret(name);
    let bound = Mesh::bind(mesh_config(name, listen, control_plane.ca_pem(), certified.own(), secret)?)?;
    scope.spawn(|token| async move {
        certified.keep(token).await;
        Ok(())
    });
    Ok(bound)
}

fn node_config(settings: &Cluster, control_plane: &ControlPlane, name: &str, mesh: &Mesh) -> coracle_node::Config {
    let mut config = coracle_node::Config::new(name, settings.data_dir.join("nodes").join(name));
    config.max_pods = settings.max_pods;
    config.addresses = vec![node_address(settings, control_plane.address().ip())];
    config.port = mesh.port();
    config
}

/// Where other machines reach this one.
fn node_address(settings: &Cluster, listen: IpAddr) -> IpAddr {
    match settings.node_address {
        Some(address) => address,
        None if listen.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        None => listen,
    }
}
