//! Who reaches whom.

use super::*;
use crate::pod::SOCKETS_MAX;

#[tokio::test]
async fn a_connection_shows_both_pods_addresses() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, "10.244.1.3:80").await;
    assert_eq!(near.peer_addr(), at("10.244.1.3:80"));
    assert_eq!(far.local_addr(), at("10.244.1.3:80"));
    assert_eq!(far.peer_addr(), near.local_addr());
    assert_eq!(near.local_addr().ip(), ip("10.244.1.2"));
    assert!((32768..=60999).contains(&near.local_addr().port()));
    says(&mut near, "ping").await;
    hears(&mut far, "ping").await;
    says(&mut far, "pong").await;
    hears(&mut near, "pong").await;
}

#[tokio::test]
async fn loopback_belongs_to_one_pod() {
    let node = node(1);
    let (first, second) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&first, "127.0.0.1:80");
    let (near, far) = connect(&first, &*listener, "127.0.0.1:80").await;
    assert_eq!((near.local_addr().ip(), far.peer_addr().ip()), (ip("127.0.0.1"), ip("127.0.0.1")));
    assert_eq!(outcome(&second, "127.0.0.1:80").await, Err(NetworkError::ConnectionRefused));
    assert_eq!(outcome(&second, "10.244.1.2:80").await, Err(NetworkError::ConnectionRefused));
    assert_eq!(outcome(&first, "10.244.1.2:80").await, Err(NetworkError::ConnectionRefused));
    let all = listen(&second, "[::]:80");
    let (near, _far) = connect(&second, &*all, "[::1]:80").await;
    assert_eq!(near.local_addr().ip(), ip("::1"));
}

#[tokio::test]
async fn the_node_reaches_its_pods() {
    let node = node(1);
    let server = pod(&node, "10.244.1.3");
    let listener = listen(&server, "0.0.0.0:80");
    let (near, far) = tokio::join!(node.connect(at("10.244.1.3:80")), listener.accept());
    assert_eq!(near.unwrap().local_addr(), far.as_ref().unwrap().peer_addr());
    assert_eq!(far.unwrap().peer_addr().ip(), ip("10.244.1.1"));
    assert_eq!(node.connect(at("127.0.0.1:80")).await.err(), Some(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn nobody_there_is_not_the_same_as_nobody_listening() {
    let node = node(1);
    let (client, _server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    assert_eq!(outcome(&client, "10.244.1.3:80").await, Err(NetworkError::ConnectionRefused));
    assert_eq!(outcome(&client, "10.244.1.4:80").await, Err(NetworkError::RemoteUnreachable));
    assert_eq!(outcome(&client, "10.244.9.4:80").await, Err(NetworkError::RemoteUnreachable));
    assert_eq!(outcome(&client, "0.0.0.0:80").await, Err(NetworkError::InvalidArgument));
    assert_eq!(outcome(&client, "10.244.1.3:0").await, Err(NetworkError::InvalidArgument));
    assert_eq!(outcome(&client, "[2001:db8::1]:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn an_address_has_one_listener() {
    let node = node(1);
    let pod = pod(&node, "10.244.1.2");
    let first = listen(&pod, "0.0.0.0:80");
    assert_eq!(pod.listen(at("127.0.0.1:80"), 1).err(), Some(NetworkError::AddressInUse));
    assert_eq!(pod.listen(at("10.244.1.3:81"), 1).err(), Some(NetworkError::AddressNotBindable));
    drop(first);
    let chosen = listen(&pod, "127.0.0.1:0");
    assert!((32768..=60999).contains(&chosen.local_addr().port()));
    assert_eq!(listen(&pod, "127.0.0.1:80").local_addr(), at("127.0.0.1:80"));
}

#[tokio::test]
async fn a_client_may_choose_its_port() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let _listener = listen(&server, "0.0.0.0:80");
    let local = Some(at("0.0.0.0:1234"));
    let held = client.connect(local, at("10.244.1.3:80")).await.unwrap();
    assert_eq!(held.local_addr(), at("10.244.1.2:1234"));
    assert_eq!(client.connect(local, at("10.244.1.3:80")).await.err(), Some(NetworkError::AddressInUse));
    drop(held);
    assert!(client.connect(local, at("10.244.1.3:80")).await.is_ok());
    let foreign = Some(at("10.244.1.9:1234"));
    assert_eq!(client.connect(foreign, at("10.244.1.3:80")).await.err(), Some(NetworkError::AddressNotBindable));
}

#[tokio::test]
async fn a_full_backlog_refuses() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = server.listen(at("0.0.0.0:80"), 8).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(client.connect(None, at("10.244.1.3:80")).await.unwrap());
    }
    assert_eq!(outcome(&client, "10.244.1.3:80").await, Err(NetworkError::ConnectionRefused));
    let _accepted = listener.accept().await.unwrap();
    assert_eq!(outcome(&client, "10.244.1.3:80").await, Ok(()));
}

#[tokio::test]
async fn a_pod_has_a_bounded_number_of_sockets() {
    let node = node(1);
    let pod = pod(&node, "10.244.1.2");
    let _listener = listen(&pod, "0.0.0.0:80");
    let sockets: Vec<_> = (1..SOCKETS_MAX).map(|_| pod.bind_udp(at("0.0.0.0:0")).unwrap()).collect();
    assert_eq!(outcome(&pod, "127.0.0.1:80").await, Err(NetworkError::NewSocketLimit));
    assert_eq!(pod.bind_udp(at("0.0.0.0:0")).err(), Some(NetworkError::NewSocketLimit));
    drop(sockets);
    assert_eq!(outcome(&pod, "127.0.0.1:80").await, Ok(()));
}

#[tokio::test]
async fn an_address_is_free_again_when_its_pod_is_gone() {
    let node = node(1);
    let identity = PodIdentity { namespace: "a".into(), name: "b".into(), uid: "c".into() };
    let first = node.attach(identity.clone(), &[ip("10.244.1.2"), ip("fd00::2")]).unwrap();
    let taken = node.attach(identity.clone(), &[ip("10.244.1.3"), ip("fd00::2")]).unwrap_err();
    assert_eq!(taken.to_string(), "address fd00::2 belongs to another pod");
    assert!(matches!(node.attach(identity.clone(), &[]), Err(Error::NoAddress)));
    drop(first);
    let second = node.attach(identity, &[ip("10.244.1.3"), ip("fd00::2")]).unwrap();
    assert_eq!(second.addresses(), [ip("10.244.1.3"), ip("fd00::2")]);
}

#[tokio::test]
async fn every_pod_reaches_every_pod() {
    const N_PODS: u8 = 24;
    let node = node(1);
    let pods: Vec<_> = (2..2 + N_PODS).map(|n| pod(&node, &format!("10.244.1.{n}"))).collect();
    let listeners: Vec<_> = pods.iter().map(|pod| pod.listen(at("0.0.0.0:7"), 64).unwrap()).collect();
    for from in &pods {
        for (to, listener) in pods.iter().zip(&listeners) {
            let to = SocketAddr::new(to.addresses()[0], 7).to_string();
            let (mut near, mut far) = connect(from, &**listener, &to).await;
            assert_eq!(far.peer_addr().ip(), from.addresses()[0]);
            says(&mut near, &to).await;
            hears(&mut far, &to).await;
        }
    }
}
