//! The network as pods see it: worlds of a few fabrics, in one process.

mod datagrams;
mod ends;
mod handing_over;
mod links;
mod mesh;
mod names;
mod outside;
mod services;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use coracle_runtime::network::{Listener, Network, NetworkError, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The fabric of the `n`th node, with 10.244.n.0/24 of 10.0.0.0/8, and fd00:n::/64.
fn node(n: u8) -> Arc<Fabric> {
    Fabric::new(FabricConfig {
        pod_cidrs: vec![format!("10.244.{n}.0/24").parse().unwrap(), format!("fd00:{n}::/64").parse().unwrap()],
        cluster_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        name_server: Some(at("10.96.0.10:53")),
        ..FabricConfig::default()
    })
}

fn pod(fabric: &Arc<Fabric>, address: &str) -> Arc<PodNetwork> {
    let identity = PodIdentity { namespace: "default".into(), name: format!("pod-{address}"), uid: address.into() };
    fabric.attach(identity, &[ip(address)]).unwrap()
}

fn listen(pod: &PodNetwork, address: &str) -> Box<dyn Listener> {
    pod.listen(at(address), 16).unwrap()
}

/// What a connection attempt ends in, without the stream.
async fn outcome(pod: &PodNetwork, to: &str) -> Result<(), NetworkError> {
    pod.connect(None, at(to)).await.map(drop)
}

/// Two ends of a new connection: the one that connects to `to`, and the one that `listener` accepts.
async fn connect(from: &PodNetwork, listener: &dyn Listener, to: &str) -> (Stream, Stream) {
    let (near, far) = tokio::join!(from.connect(None, at(to)), listener.accept());
    (near.unwrap(), far.unwrap())
}

async fn says(stream: &mut Stream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hears(stream: &mut Stream, text: &str) {
    let mut heard = vec![0; text.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

async fn hears_the_end(stream: &mut Stream) {
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

async fn hears_a_reset(stream: &mut Stream) {
    let error = stream.read(&mut [0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
