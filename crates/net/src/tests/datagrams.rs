//! UDP.

use bytes::Bytes;
use coracle_runtime::network::{Account, Datagrams};
use futures::FutureExt;

use super::*;

fn bind(pod: &PodNetwork, address: &str) -> Arc<dyn Datagrams> {
    pod.bind_udp(at(address)).unwrap()
}

async fn received(socket: &dyn Datagrams) -> (String, SocketAddr) {
    let (payload, from) = socket.recv_from().await.unwrap();
    (String::from_utf8(payload.to_vec()).unwrap(), from)
}

async fn send(socket: &dyn Datagrams, text: &'static str, to: &str) -> Result<(), NetworkError> {
    socket.send_to(Bytes::from(text), at(to)).await
}

#[tokio::test]
async fn datagrams_carry_their_senders_address() {
    let (first, second) = (node(1), node(2));
    first.set_routes([("10.244.2.0/24".parse().unwrap(), second.link_from(&first))].into_iter().collect());
    let (client, near, far) = (pod(&first, "10.244.1.2"), pod(&first, "10.244.1.3"), pod(&second, "10.244.2.3"));
    let (socket, near, far) = (bind(&client, "0.0.0.0:1000"), bind(&near, "0.0.0.0:53"), bind(&far, "0.0.0.0:53"));
    send(&*socket, "near", "10.244.1.3:53").await.unwrap();
    send(&*socket, "far", "10.244.2.3:53").await.unwrap();
    assert_eq!(received(&*near).await, ("near".into(), at("10.244.1.2:1000")));
    assert_eq!(received(&*far).await, ("far".into(), at("10.244.1.2:1000")));
    send(&*near, "back", "10.244.1.2:1000").await.unwrap();
    assert_eq!(received(&*socket).await, ("back".into(), at("10.244.1.3:53")));
    assert_eq!(send(&*socket, "to nobody", "10.244.1.3:54").await, Err(NetworkError::ConnectionRefused));
    assert_eq!(send(&*socket, "nowhere", "10.244.1.9:53").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn loopback_datagrams_stay_in_their_pod() {
    let node = node(1);
    let (first, second) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let (server, other) = (bind(&first, "127.0.0.1:53"), bind(&second, "127.0.0.1:53"));
    let client = bind(&first, "0.0.0.0:0");
    send(&*client, "hello", "127.0.0.1:53").await.unwrap();
    let (text, from) = received(&*server).await;
    assert_eq!((text.as_str(), from), ("hello", SocketAddr::new(ip("127.0.0.1"), client.local_addr().port())));
    assert!(other.recv_from().now_or_never().is_none());
    assert_eq!(first.bind_udp(at("0.0.0.0:53")).err(), Some(NetworkError::AddressInUse));
}

#[tokio::test]
async fn a_full_queue_loses_what_comes() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let (client, server) = (bind(&client, "0.0.0.0:0"), bind(&server, "0.0.0.0:53"));
    for _ in 0..1000 {
        client.send_to(Bytes::from(vec![0; 1000]), at("10.244.1.3:53")).await.unwrap();
    }
    let mut n_received = 0;
    while let Some(received) = server.recv_from().now_or_never() {
        assert_eq!(received.unwrap().0.len(), 1000);
        n_received += 1;
    }
    assert_eq!(n_received, 212_992 / 1256);
    send(&*client, "again", "10.244.1.3:53").await.unwrap();
    assert_eq!(received(&*server).await.0, "again");
    let large = client.send_to(Bytes::from(vec![0; 65508]), at("10.244.1.3:53")).await;
    assert_eq!(large, Err(NetworkError::DatagramTooLarge));
}

/// 10.96.0.1:53 leads to another port of 10.244.1.3 each time it is asked.
#[derive(Default)]
struct Turning(std::sync::atomic::AtomicU16);

impl ServiceRoutes for Turning {
    fn route(&self, _: Option<IpAddr>, to: SocketAddr, _: Protocol, _: &[SocketAddr]) -> Route {
        if to != at("10.96.0.1:53") {
            return Route::NotService;
        }
        let port = 1000 + self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Route::Endpoint(SocketAddr::new(ip("10.244.1.3"), port).into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_services_datagrams_stay_together_and_its_answers_come_from_it() {
    let node = node(1);
    node.set_services(Arc::new(Turning::default()));
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let (first, second) = (bind(&server, "0.0.0.0:1000"), bind(&server, "0.0.0.0:1001"));
    let client = bind(&client, "0.0.0.0:2000");
    for _ in 0..3 {
        send(&*client, "question", "10.96.0.1:53").await.unwrap();
        assert_eq!(received(&*first).await, ("question".into(), at("10.244.1.2:2000")));
    }
    send(&*first, "answer", "10.244.1.2:2000").await.unwrap();
    assert_eq!(received(&*client).await, ("answer".into(), at("10.96.0.1:53")));
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    send(&*client, "later", "10.96.0.1:53").await.unwrap();
    assert_eq!(received(&*second).await.0, "later");
}

#[tokio::test]
async fn a_pods_removal_ends_its_sockets() {
    let node = node(1);
    let pod = pod(&node, "10.244.1.2");
    let socket = bind(&pod, "0.0.0.0:53");
    let (received, ()) = tokio::join!(socket.recv_from(), async { drop(pod) });
    assert_eq!(received.err(), Some(NetworkError::ConnectionAborted));
}

#[tokio::test]
async fn a_client_outside_is_seen_and_answered_through_its_node() {
    let (first, second) = (node(1), node(2));
    first.set_routes([("10.244.2.0/24".parse().unwrap(), second.link_from(&first))].into_iter().collect());
    second.set_routes([("10.244.1.0/24".parse().unwrap(), first.link_from(&second))].into_iter().collect());
    let (near, far) = (pod(&first, "10.244.1.3"), pod(&second, "10.244.2.3"));
    for (server, to) in [(bind(&near, "0.0.0.0:53"), "10.244.1.3:53"), (bind(&far, "0.0.0.0:53"), "10.244.2.3:53")] {
        let clients = ["192.0.2.1:1000", "192.0.2.2:1000"];
        let sockets = clients.map(|client| first.datagrams_of(at(client)).unwrap());
        for (socket, client) in sockets.iter().zip(clients) {
            send(&**socket, "question", to).await.unwrap();
            assert_eq!(received(&*server).await, ("question".into(), at(client)));
        }
        for (socket, client) in sockets.iter().zip(clients) {
            send(&*server, "answer", client).await.unwrap();
            assert_eq!(received(&**socket).await, ("answer".into(), at(to)));
        }
    }
}

/// 10.96.0.1:53 leads to the port that is told last.
#[derive(Default)]
struct Told(std::sync::atomic::AtomicU16);

impl Told {
    fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(ip("10.244.1.3"), self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

impl ServiceRoutes for Told {
    fn route(&self, _: Option<IpAddr>, to: SocketAddr, _: Protocol, _: &[SocketAddr]) -> Route {
        if to == at("10.96.0.1:53") { Route::Endpoint(self.endpoint().into()) } else { Route::NotService }
    }

    fn version(&self) -> u64 {
        self.endpoint().port().into()
    }

    fn still_leads(&self, _: SocketAddr, _: Protocol, endpoint: SocketAddr) -> bool {
        endpoint == self.endpoint()
    }
}

#[tokio::test]
async fn datagrams_leave_an_endpoint_that_the_table_has_no_more() {
    let (node, table) = (node(1), Arc::new(Told::default()));
    node.set_services(table.clone());
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let client = bind(&client, "0.0.0.0:2000");
    for port in [1000, 1001] {
        table.0.store(port, std::sync::atomic::Ordering::Relaxed);
        let server = bind(&server, &format!("0.0.0.0:{port}"));
        for _ in 0..2 {
            send(&*client, "question", "10.96.0.1:53").await.unwrap();
            assert_eq!(received(&*server).await.0, "question");
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_reader_counts_against_its_memory_and_what_does_not_fit_is_lost() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let (client, server) = (bind(&client, "0.0.0.0:0"), bind(&server, "0.0.0.0:53"));
    let account = Account::new(Some(32 << 10));
    server.charge_to(account.clone());
    for _ in 0..1000 {
        client.send_to(Bytes::from(vec![0; 1000]), at("10.244.1.3:53")).await.unwrap();
    }
    assert!((31 << 10..=32 << 10).contains(&account.used()), "{}", account.used());
    let mut n_received = 0;
    while let Some(received) = server.recv_from().now_or_never() {
        received.unwrap();
        n_received += 1;
    }
    assert!((37..=39).contains(&n_received), "{n_received}");
    assert_eq!(account.used(), 0);
}
