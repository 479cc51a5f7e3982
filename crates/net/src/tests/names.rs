//! Names, as whoever answers for them says.

use super::*;

struct Known;

#[async_trait::async_trait]
impl Names for Known {
    async fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        Some([query, b" is known"].concat())
    }

    /// An id, the family and the name.
    fn query(&self, name: &str, v4: bool) -> Option<Vec<u8>> {
        Some(format!("{}{name}", if v4 { "04" } else { "06" }).into_bytes())
    }

    fn addresses_in(&self, answer: &[u8]) -> Vec<IpAddr> {
        std::str::from_utf8(&answer[2..]).unwrap().parse().into_iter().collect()
    }

    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer {
        match name {
            "web" | "db.shop.example." if from.namespace == "default" => Answer::Addresses(vec![ip("10.96.0.1")]),
            "alias" => Answer::Alias("web".into()),
            "loop" => Answer::Alias("loop".into()),
            "empty" => Answer::Addresses(vec![]),
            _ => Answer::NoSuchName,
        }
    }
}

#[tokio::test]
async fn a_pod_knows_itself_and_what_the_cluster_knows() {
    let node = node(1);
    node.set_names(Arc::new(Known));
    let pod = pod(&node, "10.244.1.2");
    let check = async |name: &str, expected: Result<&[&str], NetworkError>| {
        let expected = expected.map(|ips| ips.iter().map(|text| ip(text)).collect());
        assert_eq!(pod.resolve(name).await, expected, "{name}");
    };
    check("192.0.2.1", Ok(&["192.0.2.1"])).await;
    check("[::1]", Ok(&["::1"])).await;
    check("LocalHost", Ok(&["127.0.0.1", "::1"])).await;
    check("pod-10.244.1.2", Ok(&["10.244.1.2"])).await;
    check("WEB", Ok(&["10.96.0.1"])).await;
    check("alias", Ok(&["10.96.0.1"])).await;
    for unknown in ["loop", "empty", "nothing"] {
        check(unknown, Err(NetworkError::NameUnresolvable)).await;
    }
    check("", Err(NetworkError::InvalidArgument)).await;
    check(&"a".repeat(256), Err(NetworkError::InvalidArgument)).await;
}

fn own_way(node: &Arc<Fabric>, address: &str, resolver: Resolver) -> Arc<PodNetwork> {
    let identity = PodIdentity { namespace: "default".into(), name: "own".into(), uid: address.into() };
    node.attach_with(identity, &[ip(address)], resolver).unwrap()
}

#[tokio::test]
async fn a_pod_may_know_names_by_itself_and_search_elsewhere() {
    let node = node(1);
    node.set_names(Arc::new(Known));
    let search = Search { domains: vec!["nowhere".into(), "shop.example".into()], ndots: 1 };
    let hosts = vec![(ip("10.244.1.2"), vec!["own".into()]), (ip("192.0.2.7"), vec!["Web".into(), "other".into()])];
    let pod = own_way(&node, "10.244.1.2", Resolver { hosts, search: Some(search), asks: Asks::Cluster });
    assert_eq!(pod.resolve("web").await, Ok(vec![ip("192.0.2.7")]), "what it knows goes before");
    assert_eq!(pod.resolve("OTHER.").await, Ok(vec![ip("192.0.2.7")]));
    assert_eq!(pod.resolve("own").await, Ok(vec![ip("10.244.1.2")]));
    assert_eq!(pod.resolve("db").await, Ok(vec![ip("10.96.0.1")]));
    assert_eq!(pod.resolve("unknown").await, Err(NetworkError::NameUnresolvable));
}

#[tokio::test]
async fn a_pod_asks_the_servers_that_it_names() {
    let node = node(1);
    node.set_names(Arc::new(Known));
    let server = pod(&node, "10.244.1.3");
    let socket = server.bind_udp(at("0.0.0.0:53")).unwrap();
    let asks = Asks::Servers(vec![at("10.244.1.3:53")]);
    let pod = own_way(&node, "10.244.1.2", Resolver { asks, ..Resolver::default() });
    let answering = async {
        for (query, answer) in [("04far", "04192.0.2.8"), ("06far", "062001:db8::8")] {
            let (asked, client) = socket.recv_from().await.unwrap();
            assert_eq!(asked, query);
            socket.send_to("xx".into(), client).await.unwrap();
            socket.send_to(answer.into(), client).await.unwrap();
        }
    };
    let (found, ()) = tokio::join!(pod.resolve("far"), answering);
    assert_eq!(found, Ok(vec![ip("192.0.2.8"), ip("2001:db8::8")]));
}

#[tokio::test]
async fn a_guest_that_asks_by_itself_is_answered_in_process() {
    let node = node(1);
    node.set_names(Arc::new(Known));
    let pod = pod(&node, "10.244.1.2");
    let socket = pod.bind_udp(at("0.0.0.0:0")).unwrap();
    socket.send_to("web".into(), at("10.96.0.10:53")).await.unwrap();
    let (answer, from) = socket.recv_from().await.unwrap();
    assert_eq!((&answer[..], from), (&b"web is known"[..], at("10.96.0.10:53")));
}
