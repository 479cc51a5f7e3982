//! Several nodes.

use async_trait::async_trait;
use bytes::Bytes;

use super::*;

fn two_nodes() -> (Arc<Fabric>, Arc<Fabric>) {
    let (first, second) = (node(1), node(2));
    first.set_routes([("10.244.2.0/24".parse().unwrap(), second.link_from(&first))].into_iter().collect());
    second.set_routes([("10.244.1.0/24".parse().unwrap(), first.link_from(&second))].into_iter().collect());
    (first, second)
}

#[tokio::test]
async fn pods_of_two_nodes_talk() {
    let (first, second) = two_nodes();
    let (client, server) = (pod(&first, "10.244.1.2"), pod(&second, "10.244.2.2"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, "10.244.2.2:80").await;
    assert_eq!(far.peer_addr(), near.local_addr());
    assert_eq!(near.local_addr().ip(), ip("10.244.1.2"));
    says(&mut near, "ping").await;
    near.shutdown().await.unwrap();
    hears(&mut far, "ping").await;
    hears_the_end(&mut far).await;
    says(&mut far, "pong").await;
    hears(&mut near, "pong").await;
    assert_eq!(outcome(&client, "10.244.2.2:81").await, Err(NetworkError::ConnectionRefused));
    assert_eq!(outcome(&client, "10.244.2.3:80").await, Err(NetworkError::RemoteUnreachable));
    assert_eq!(outcome(&client, "10.244.3.2:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn a_pods_removal_is_felt_on_the_other_node() {
    let (first, second) = two_nodes();
    let (client, server) = (pod(&first, "10.244.1.2"), pod(&second, "10.244.2.2"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, _far) = connect(&client, &*listener, "10.244.2.2:80").await;
    drop(server);
    hears_a_reset(&mut near).await;
}

#[tokio::test]
async fn a_node_that_is_gone_is_unreachable() {
    let (first, second) = two_nodes();
    let client = pod(&first, "10.244.1.2");
    drop(second);
    assert_eq!(outcome(&client, "10.244.2.2:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn a_node_may_not_speak_for_anothers_pods() {
    let node = node(2);
    let server = pod(&node, "10.244.2.2");
    let _listener = listen(&server, "0.0.0.0:80");
    let owned = ["10.244.1.0/24".parse().unwrap()];
    let (_, far) = pipe(at("10.244.3.3:1"), at("10.244.2.2:80"));
    let header = Header { source: at("10.244.3.3:1"), destination: at("10.244.2.2:80"), client: None };
    let refused = node.receive(&owned, header, Box::new(far)).await.map_err(|(_, error)| error);
    assert_eq!(refused, Err(NetworkError::AccessDenied));
    node.receive_datagram(&owned, header, Bytes::new());
}

/// A link that only has a name.
struct Named(&'static str);

#[async_trait]
impl Link for Named {
    async fn open(&self, _: Header) -> Result<Stream, NetworkError> {
        panic!("{} is never opened", self.0)
    }

    fn send(&self, _: Header, _: Bytes) {}
}

#[test]
fn the_longest_prefix_decides() {
    let link = |name| Arc::new(Named(name)) as Arc<dyn Link>;
    let (all, node, pod) = (link("all"), link("node"), link("pod"));
    let routes: RouteTable = [("10.0.0.0/8", &all), ("10.244.2.0/24", &node), ("10.244.2.9/32", &pod)]
        .map(|(net, link)| (net.parse().unwrap(), link.clone()))
        .into_iter()
        .collect();
    let check = |to: &str, expected: Option<&Arc<dyn Link>>| {
        let same = match (routes.find(ip(to)), expected) {
            (Some(found), Some(expected)) => Arc::ptr_eq(found, expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(same, "{to}");
    };
    check("10.1.2.3", Some(&all));
    check("10.244.2.3", Some(&node));
    check("10.244.2.9", Some(&pod));
    check("192.0.2.1", None);
    check("fd00::1", None);
}
