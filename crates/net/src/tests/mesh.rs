//! Nodes that talk QUIC over loopback: the real driver, real certificates.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use coracle_pki::{Pki, Renewable, peer_configs};
use coracle_stdx::{CancellationToken, Scope};
use ipnet::IpNet;
use tokio::sync::mpsc;

use super::*;
use crate::mesh::{Bound, Config, Member, Members, Mesh, NodeStream, PROTOCOL, Peer, State};

/// A cluster's authority, and the tasks of its nodes.
struct Town {
    pki: Pki,
    _dir: tempfile::TempDir,
    scope: Scope<std::convert::Infallible>,
}

struct House {
    fabric: Arc<Fabric>,
    mesh: Mesh,
    node_streams: mpsc::Receiver<NodeStream>,
    token: CancellationToken,
    network: IpNet,
    network_v6: IpNet,
    address: IpAddr,
}

fn identify(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<Peer> {
    let name = coracle_pki::subject(certificate).ok()?.common_name;
    Some(Peer { may_ask: name == "server", name })
}

impl Town {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        Self { pki, _dir: dir, scope: Scope::child_of(&CancellationToken::new()) }
    }

    fn house(&mut self, name: &str, n: u8) -> House {
        let own = Renewable::new(&self.pki.issue_client(name, None).unwrap()).unwrap();
        self.house_with(name, n, &own)
    }

    fn house_with(&mut self, name: &str, n: u8, own: &Renewable) -> House {
        self.house_at(Ipv4Addr::LOCALHOST.into(), name, n, own)
    }

    fn house_at(&mut self, address: IpAddr, name: &str, n: u8, own: &Renewable) -> House {
        self.house_on(SocketAddr::new(address, 0), name, n, own)
    }

    fn house_on(&mut self, listen: SocketAddr, name: &str, n: u8, own: &Renewable) -> House {
        let (client, server) = peer_configs(self.pki.ca_pem(), own, PROTOCOL).unwrap();
        let config = Config { name: name.into(), listen, client, server, identify, secret: [n; 32] };
        let bound = Mesh::bind(config).unwrap();
        let Bound { mesh, driver, node_streams } = bound;
        let (fabric, token) = (node(n), self.scope.token().child_token());
        mesh.attach(&fabric);
        let running = token.clone();
        self.scope.spawn(|_| async move {
            driver.run(running).await;
            Ok(())
        });
        let (network, network_v6) =
            (format!("10.244.{n}.0/24").parse().unwrap(), format!("fd00:{n}::/64").parse().unwrap());
        House { fabric, mesh, node_streams, token, network, network_v6, address: listen.ip() }
    }
}

/// Makes houses know each other. `dialable` says who may be dialled by whom.
fn introduce(houses: &[&House], dialable: impl Fn(&str, &str) -> bool) {
    for house in houses {
        let others = houses.iter().filter(|other| other.mesh.name() != house.mesh.name());
        let members: Members = others
            .clone()
            .map(|other| {
                let address = SocketAddr::new(other.address, other.mesh.port());
                let may = dialable(house.mesh.name(), other.mesh.name());
                let addresses = if may { vec![address] } else { Vec::new() };
                (other.mesh.name().to_owned(), Member { addresses, networks: vec![other.network, other.network_v6] })
            })
            .collect();
        house.mesh.set_members(members);
        let routes = others.flat_map(|other| {
            [other.network, other.network_v6].map(|network| (network, house.mesh.link(other.mesh.name())))
        });
        house.fabric.set_routes(routes.collect());
    }
}

/// Waits until `house` reaches `peer` in this way.
async fn reached(house: &House, peer: &str, state: State) {
    let mut changed = house.mesh.changed();
    loop {
        changed.borrow_and_update();
        if house.mesh.report().iter().any(|link| link.peer == peer && link.state == state) {
            return;
        }
        changed.changed().await.unwrap();
    }
}

async fn carries_a_conversation(from: &House, to: &House) {
    let client = pod(&from.fabric, &from.network.hosts().nth(1).unwrap().to_string());
    let address = to.network.hosts().nth(2).unwrap();
    let server = pod(&to.fabric, &address.to_string());
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, &format!("{address}:80")).await;
    assert_eq!(far.peer_addr(), near.local_addr());
    says(&mut near, "ping").await;
    near.shutdown().await.unwrap();
    hears(&mut far, "ping").await;
    hears_the_end(&mut far).await;
    says(&mut far, "pong").await;
    drop(far);
    hears(&mut near, "pong").await;
    hears_the_end(&mut near).await;
    assert_eq!(outcome(&client, &format!("{address}:81")).await, Err(NetworkError::ConnectionRefused));
    assert_eq!(
        outcome(&client, &format!("{}:80", to.network.hosts().nth(9).unwrap())).await,
        Err(NetworkError::RemoteUnreachable)
    );
}

#[tokio::test]
async fn pods_of_two_nodes_talk_over_quic() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    carries_a_conversation(&a, &b).await;
    carries_a_conversation(&b, &a).await;
    let link = &a.mesh.report()[0];
    let path = link.path.as_ref().unwrap();
    assert_eq!((link.peer.as_str(), link.state.clone(), path.dialled), ("b", State::Direct, true));
    assert!(path.bytes_sent > 0 && path.bytes_received > 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_dialled_dials_out_and_is_reached() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, to| to != "b");
    reached(&a, "b", State::Direct).await;
    carries_a_conversation(&a, &b).await;
}

#[tokio::test]
async fn two_nodes_that_cannot_reach_each_other_are_relayed() {
    let mut town = Town::new();
    let (a, b, relay) = (town.house("a", 1), town.house("b", 2), town.house("r", 3));
    introduce(&[&a, &b, &relay], |from, to| from == "r" || to == "r");
    reached(&a, "b", State::Relayed).await;
    reached(&b, "a", State::Relayed).await;
    carries_a_conversation(&a, &b).await;
    let (client, server) = (pod(&a.fabric, "10.244.1.2"), pod(&b.fabric, "10.244.2.2"));
    let to = server.bind_udp(at("0.0.0.0:53")).unwrap();
    let from = client.bind_udp(at("0.0.0.0:2000")).unwrap();
    from.send_to(Bytes::from_static(b"question"), at("10.244.2.2:53")).await.unwrap();
    assert_eq!(to.recv_from().await.unwrap(), (Bytes::from_static(b"question"), at("10.244.1.2:2000")));
}

#[tokio::test]
async fn datagrams_arrive_whatever_their_size() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Direct).await;
    let (client, server) = (pod(&a.fabric, "10.244.1.2"), pod(&b.fabric, "10.244.2.2"));
    let to = server.bind_udp(at("0.0.0.0:53")).unwrap();
    let from = client.bind_udp(at("0.0.0.0:2000")).unwrap();
    for size in [0, 1, 1000, 1500, 9000, 65_507] {
        let payload = Bytes::from(vec![size as u8; size]);
        from.send_to(payload.clone(), at("10.244.2.2:53")).await.unwrap();
        assert_eq!(to.recv_from().await.unwrap(), (payload, at("10.244.1.2:2000")), "{size}");
    }
}

#[tokio::test]
async fn a_datagram_leaves_before_its_sender_rests() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Direct).await;
    let client = pod(&a.fabric, "10.244.1.2");
    let socket = client.bind_udp(at("0.0.0.0:2000")).unwrap();
    let n_sent = || a.mesh.report()[0].path.as_ref().unwrap().packets_sent;
    // Not while the connection's task is about to run anyhow.
    for _ in 0..100 {
        let before = n_sent();
        let sent = futures::FutureExt::now_or_never(socket.send_to(Bytes::from_static(b"now"), at("10.244.2.2:53")));
        assert_eq!(sent, Some(Ok(())));
        if n_sent() > before {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("every datagram waited for its connection's task");
}

#[tokio::test]
async fn datagrams_in_both_directions_all_arrive() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Direct).await;
    let (client, server) = (pod(&a.fabric, "10.244.1.2"), pod(&b.fabric, "10.244.2.2"));
    let echo = server.bind_udp(at("0.0.0.0:53")).unwrap();
    town.scope.spawn(|token| async move {
        while let Some(Ok((payload, from))) = token.run_until_cancelled(echo.recv_from()).await {
            echo.send_to(payload, from).await.unwrap();
        }
        Ok(())
    });
    let socket = client.bind_udp(at("0.0.0.0:2000")).unwrap();
    for batch in 0..100_u32 {
        let payload = |n: u32| Bytes::from((batch * 10 + n).to_be_bytes().to_vec());
        for n in 0..10 {
            socket.send_to(payload(n), at("10.244.2.2:53")).await.unwrap();
        }
        for n in 0..10 {
            assert_eq!(socket.recv_from().await.unwrap(), (payload(n), at("10.244.2.2:53")));
        }
    }
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_on_another_node() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    let (client, server) = (pod(&a.fabric, "10.244.1.2"), pod(&b.fabric, "10.244.2.2"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, "10.244.2.2:80").await;
    const SENT: usize = 32 << 20;
    let write = async {
        near.write_all(&vec![7; SENT]).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let read = async {
        let (mut buffer, mut n_read) = (vec![0; 64 << 10], 0);
        while let n @ 1.. = far.read(&mut buffer).await.unwrap() {
            n_read += n;
        }
        n_read
    };
    tokio::pin!(write);
    // Nobody reads: the writer stops long before its end.
    assert!(futures::FutureExt::now_or_never(&mut write).is_none());
    let (_, n_read) = tokio::join!(write, read);
    assert_eq!(n_read, SENT);
}

#[tokio::test]
async fn a_node_may_speak_for_its_own_pods_only() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    let server = pod(&b.fabric, "10.244.2.2");
    let _listener = listen(&server, "0.0.0.0:80");
    let link = a.mesh.link("b");
    let header = |source: &str| crate::Header { source: at(source), destination: at("10.244.2.2:80"), client: None };
    assert!(link.open(header("10.244.1.7:1000")).await.is_ok());
    assert_eq!(link.open(header("10.244.3.7:1000")).await.err(), Some(NetworkError::AccessDenied));
}

#[tokio::test]
async fn only_the_control_plane_may_ask_a_node() {
    let mut town = Town::new();
    let (a, mut b, server) = (town.house("a", 1), town.house("b", 2), town.house("server", 3));
    introduce(&[&a, &b, &server], |_, _| true);
    assert_eq!(a.mesh.ask("b").await.err(), Some(NetworkError::AccessDenied));
    let mut near = server.mesh.ask("b").await.unwrap();
    let mut far = b.node_streams.recv().await.unwrap();
    says(&mut near, "GET /healthz").await;
    hears(&mut far, "GET /healthz").await;
}

#[tokio::test]
async fn a_node_of_another_cluster_is_nobody() {
    let (mut town, mut elsewhere) = (Town::new(), Town::new());
    let (a, b) = (town.house("a", 1), elsewhere.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Unreachable).await;
    let client = pod(&a.fabric, "10.244.1.2");
    assert_eq!(outcome(&client, "10.244.2.2:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn a_node_that_was_started_again_is_found_where_it_is_now() {
    let mut town = Town::new();
    let (a, b) = (town.house("a", 1), town.house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    carries_a_conversation(&a, &b).await;
    b.token.cancel();
    let mut changed = a.mesh.changed();
    changed.wait_for(|_| a.mesh.report()[0].state != State::Direct).await.unwrap();
    let again = town.house("b", 2);
    introduce(&[&a, &again], |_, _| true);
    reached(&a, "b", State::Direct).await;
    carries_a_conversation(&a, &again).await;
}

#[tokio::test]
async fn who_dies_and_is_started_again_resets_what_was_open() {
    let mut town = Town::new();
    let own = Renewable::new(&town.pki.issue_client("b", None).unwrap()).unwrap();
    let (a, elsewhere) =
        (town.house("a", 1), tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
    let entered = elsewhere.enter();
    let b = town.house_with("b", 2, &own);
    drop(entered);
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Direct).await;
    let (client, server) = (pod(&a.fabric, "10.244.1.2"), pod(&b.fabric, "10.244.2.2"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, far) = connect(&client, &*listener, "10.244.2.2:80").await;
    let address = SocketAddr::new(b.address, b.mesh.port());
    // It says no word more, and nothing that it holds is closed in order.
    tokio::task::spawn_blocking(move || drop(elsewhere)).await.unwrap();
    b.fabric.set_routes(RouteTable::default());
    drop((far, listener, server, b));
    let _again = town.house_on(address, "b", 2, &own);
    says(&mut near, "who is there?").await;
    let end = tokio::time::timeout(Duration::from_secs(5), near.read_u8()).await;
    let end = end.expect("it is told long before a silent peer would be given up");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_next() {
    let mut town = Town::new();
    let own = Renewable::new(&town.pki.issue_client("nobody-yet", None).unwrap()).unwrap();
    let (a, b) = (town.house_with("a", 1, &own), town.house("b", 2));
    own.replace(&town.pki.issue_client("a", None).unwrap()).unwrap();
    introduce(&[&a, &b], |_, _| true);
    carries_a_conversation(&a, &b).await;
    let known: HashMap<_, _> = b.mesh.report().into_iter().map(|link| (link.peer, link.state)).collect();
    assert_eq!(known["a"], State::Direct);
}

#[tokio::test]
async fn pods_of_both_families_talk_over_ipv6() {
    let mut town = Town::new();
    let mut house = |name: &str, n| {
        let own = Renewable::new(&town.pki.issue_client(name, None).unwrap()).unwrap();
        town.house_at(std::net::Ipv6Addr::LOCALHOST.into(), name, n, &own)
    };
    let (a, b) = (house("a", 1), house("b", 2));
    introduce(&[&a, &b], |_, _| true);
    reached(&a, "b", State::Direct).await;
    let both = |house: &House, n: u8, name: &str| {
        let identity = PodIdentity { namespace: "default".into(), name: name.into(), uid: name.into() };
        let addresses = [ip(&format!("10.244.{n}.2")), ip(&format!("fd00:{n}::2"))];
        house.fabric.attach(identity, &addresses).unwrap()
    };
    let (client, server) = (both(&a, 1, "client"), both(&b, 2, "server"));
    for (any, to, from) in [("0.0.0.0:80", "10.244.2.2:80", "10.244.1.2"), ("[::]:80", "[fd00:2::2]:80", "fd00:1::2")] {
        let listener = listen(&server, any);
        let (mut near, mut far) = connect(&client, &*listener, to).await;
        assert_eq!(far.peer_addr().ip(), ip(from));
        says(&mut near, "ping").await;
        hears(&mut far, "ping").await;

        let (asking, asked) = (client.bind_udp(at(any)).unwrap(), server.bind_udp(at(any)).unwrap());
        // A datagram may be lost.
        let (payload, seen) = loop {
            asking.send_to(Bytes::from("question"), at(to)).await.unwrap();
            let received = tokio::time::timeout(std::time::Duration::from_millis(100), asked.recv_from()).await;
            if let Ok(received) = received {
                break received.unwrap();
            }
        };
        assert_eq!((&payload[..], seen.ip()), (&b"question"[..], ip(from)));
    }
    assert_eq!(outcome(&client, "[fd00:2::9]:80").await, Err(NetworkError::RemoteUnreachable));
}
