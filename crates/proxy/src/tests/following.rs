//! A proxy that follows an API server of which the test writes the answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coracle_client::{Informer, in_process};
use coracle_net::{Fabric, FabricConfig, PodIdentity, PodNetwork};
use coracle_runtime::network::{Listener, Network};
use coracle_stdx::{CancellationToken, Scope};
use http::{Request, Response};
use http_body_util::StreamBody;
use k8s_openapi::Resource;
use kube::Api;
use kube::client::Body;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::{Config, NodePorts, Proxy};

/// Watches by path: what is sent into them comes out of the informers.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<HashMap<String, mpsc::Sender<String>>>>);

impl Server {
    fn client(&self) -> kube::Client {
        let watches = self.0.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (lines, stream) = mpsc::channel::<String>(64);
            let metadata = json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
            let bookmark = json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": metadata});
            lines.try_send(json!({"type": "BOOKMARK", "object": bookmark}).to_string()).unwrap();
            watches.lock().unwrap().insert(request.uri().path().to_owned(), lines);
            let frames = futures::stream::unfold(stream, |mut stream| async move {
                let line = stream.recv().await?;
                Some((Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(line + "\n"))), stream))
            });
            async move { Ok::<_, Infallible>(Response::new(StreamBody::new(frames))) }
        });
        in_process(service, coracle_api::identity::User::default())
    }

    fn tell<K: Resource + Serialize>(&self, event_type: &str, object: &K) {
        let path =
            format!("/api{}/{}/{}", if K::GROUP.is_empty() { "" } else { "s" }, K::API_VERSION, K::URL_PATH_SEGMENT);
        let mut object = serde_json::to_value(object).unwrap();
        object["apiVersion"] = K::API_VERSION.into();
        object["kind"] = K::KIND.into();
        // As API servers write it: the type comes first.
        let line = format!(r#"{{"type":"{event_type}","object":{object}}}"#);
        self.0.lock().unwrap()[&path].try_send(line).unwrap();
    }
}

fn fabric(n: u8) -> Arc<Fabric> {
    Fabric::new(FabricConfig {
        pod_cidrs: vec![format!("10.244.{n}.0/24").parse().unwrap()],
        cluster_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        ..FabricConfig::default()
    })
}

fn pod(fabric: &Arc<Fabric>, address: &str) -> Arc<PodNetwork> {
    let identity = PodIdentity { namespace: "default".into(), name: address.into(), uid: address.into() };
    fabric.attach(identity, &[ip(address)]).unwrap()
}

/// Answers every connection with `name`.
async fn answer(listener: Box<dyn Listener>, name: &'static str) {
    while let Ok(mut stream) = listener.accept().await {
        // A client that gave up is no failure of the server.
        drop(stream.write_all(name.as_bytes()).await);
    }
}

async fn ask(port: u16) -> std::io::Result<String> {
    let mut heard = String::new();
    TcpStream::connect(("127.0.0.1", port)).await?.read_to_string(&mut heard).await?;
    Ok(heard)
}

/// Asks until the answer is `expected`.
async fn until_it_answers(port: u16, expected: &str) {
    while ask(port).await.ok().as_deref() != Some(expected) {
        tokio::task::yield_now().await;
    }
}

/// A port that no client is given: who connects to one of those before anybody listens may meet itself.
async fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

fn node_port_service(name: &str, cluster_ip: &str, port: u16) -> Service {
    let ports = json!([{"port": 80, "nodePort": port}]);
    service(name, json!({"type": "NodePort", "clusterIP": cluster_ip, "ports": ports}))
}

/// A proxy on node `name`, once it is ready, and what ends it.
async fn start(
    scope: &mut Scope<Infallible>,
    server: &Server,
    fabric: &Arc<Fabric>,
    name: &str,
    node_ports: &NodePorts,
) -> CancellationToken {
    let client = server.client();
    let config = Config { node_ports: node_ports.clone(), ..Config::new(name) };
    let informers = (Informer::new(Api::all(client.clone())), Informer::new(Api::all(client)));
    let proxy = Proxy::new(informers.0, informers.1, fabric.clone(), config);
    let (ready, ends) = (proxy.ready(), scope.token().child_token());
    let token = ends.clone();
    scope.spawn(|_| async move {
        proxy.run(token).await;
        Ok(())
    });
    ready.opened().await;
    ends
}

fn scope() -> Scope<Infallible> {
    Scope::child_of(&CancellationToken::new())
}

#[tokio::test]
async fn a_node_port_opens_serves_and_closes_with_its_service() {
    let (mut scope, server, fabric, port) = (scope(), Server::default(), fabric(1), free_port().await);
    start(&mut scope, &server, &fabric, "n1", &NodePorts::default()).await;
    let backend = pod(&fabric, "10.244.1.2");
    let listener = backend.listen(at("0.0.0.0:8080"), 64).unwrap();
    scope.spawn(|_| async move {
        answer(listener, "one").await;
        Ok(())
    });
    let web = node_port_service("web", "10.96.0.2", port);
    server.tell("ADDED", &web);
    server.tell("ADDED", &slice("web", json!([{"port": 8080}]), &[("10.244.1.2", "n1", "rs")]));
    until_it_answers(port, "one").await;

    let inside = pod(&fabric, "10.244.1.3");
    let mut heard = String::new();
    inside.connect(None, at("10.96.0.2:80")).await.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "one");

    server.tell("MODIFIED", &slice("web", json!([{"port": 8080}]), &[]));
    while ask(port).await.is_ok() {}
    server.tell("DELETED", &web);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_lost_while_endpoints_come_and_go() {
    let (mut scope, server, fabric, port) = (scope(), Server::default(), fabric(1), free_port().await);
    start(&mut scope, &server, &fabric, "n1", &NodePorts::default()).await;
    let ports = json!([{"port": 8080}]);
    let pods = [pod(&fabric, "10.244.1.2"), pod(&fabric, "10.244.1.3")];
    let serve = |scope: &mut Scope<Infallible>, idx: usize, ends: CancellationToken| {
        let listener = pods[idx].listen(at("0.0.0.0:8080"), 64).unwrap();
        scope.spawn(|_| async move {
            ends.run_until_cancelled(answer(listener, "served")).await;
            Ok(())
        });
    };
    let mut serving = CancellationToken::new();
    serve(&mut scope, 0, serving.clone());
    server.tell("ADDED", &node_port_service("web", "10.96.0.2", port));
    server.tell("ADDED", &slice("web", ports.clone(), &[("10.244.1.2", "n1", "rs")]));
    until_it_answers(port, "served").await;

    let stop = CancellationToken::new();
    let mut clients = Scope::<String>::child_of(&stop);
    for _ in 0..8 {
        clients.spawn(|stop| async move {
            while !stop.is_cancelled() {
                match ask(port).await {
                    Ok(heard) if heard == "served" => {}
                    other => return Err(format!("{other:?}")),
                }
            }
            Ok(())
        });
    }
    for n_rollouts in 0..20 {
        let (old, new) = (n_rollouts % 2, (n_rollouts + 1) % 2);
        let address = |idx: usize| ["10.244.1.2", "10.244.1.3"][idx];
        let next = CancellationToken::new();
        serve(&mut scope, new, next.clone());
        server
            .tell("MODIFIED", &slice("web", ports.clone(), &[(address(old), "n1", "rs"), (address(new), "n1", "rs")]));
        // The old pod stops before the table knows: its connections must find the new one.
        serving.cancel();
        for _ in 0..20 {
            ask(port).await.unwrap();
        }
        server.tell("MODIFIED", &slice("web", ports.clone(), &[(address(new), "n1", "rs")]));
        serving = next;
    }
    stop.cancel();
    clients.join().await.unwrap();
}

#[tokio::test]
async fn nodes_of_one_process_share_a_port_and_inherit_it() {
    let (mut scope, node_ports, port) = (scope(), NodePorts::default(), free_port().await);
    let (first, second) = (fabric(1), fabric(2));
    let servers = [Server::default(), Server::default()];
    let first_ends = start(&mut scope, &servers[0], &first, "n1", &node_ports).await;
    start(&mut scope, &servers[1], &second, "n2", &node_ports).await;
    let backend = pod(&second, "10.244.2.2");
    let listener = backend.listen(at("0.0.0.0:8080"), 64).unwrap();
    scope.spawn(|_| async move {
        answer(listener, "two").await;
        Ok(())
    });
    let mut web = node_port_service("web", "10.96.0.2", port);
    web.spec.as_mut().unwrap().external_traffic_policy = Some("Local".into());
    for server in &servers {
        server.tell("ADDED", &web);
        server.tell("ADDED", &slice("web", json!([{"port": 8080}]), &[("10.244.2.2", "n2", "rs")]));
    }
    until_it_answers(port, "two").await;
    first_ends.cancel();
    until_it_answers(port, "two").await;
}

#[tokio::test]
async fn a_udp_node_port_carries_questions_and_answers_and_follows_its_endpoints() {
    let (mut scope, server, fabric, port) = (scope(), Server::default(), fabric(1), free_port().await);
    start(&mut scope, &server, &fabric, "n1", &NodePorts::default()).await;
    let pods = [pod(&fabric, "10.244.1.2"), pod(&fabric, "10.244.1.3")];
    for (pod, name) in pods.iter().zip(["one", "two"]) {
        let socket = pod.bind_udp(at("0.0.0.0:53")).unwrap();
        scope.spawn(|token| async move {
            while let Some(Ok((asked, client))) = token.run_until_cancelled(socket.recv_from()).await {
                assert_eq!(client.ip(), ip("10.244.1.1"), "who asks from the node's own machine is the node");
                let answer = format!("{} {name}", String::from_utf8_lossy(&asked));
                socket.send_to(answer.into(), client).await.unwrap();
            }
            Ok(())
        });
    }
    let ports = json!([{"port": 53, "nodePort": port, "protocol": "UDP"}]);
    let dns = service("dns", json!({"type": "NodePort", "clusterIP": "10.96.0.3", "ports": ports}));
    let endpoint = |address| slice("dns", json!([{"port": 53, "protocol": "UDP"}]), &[(address, "n1", "rs")]);
    server.tell("ADDED", &dns);
    server.tell("ADDED", &endpoint("10.244.1.2"));
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(("127.0.0.1", port)).await.unwrap();
    until_it_says(&client, "one").await;
    server.tell("MODIFIED", &endpoint("10.244.1.3"));
    until_it_says(&client, "two").await;
}

/// Asks until `expected` answers. What is asked too early is lost.
async fn until_it_says(client: &tokio::net::UdpSocket, expected: &str) {
    let mut buffer = [0; 64];
    loop {
        // Nobody may listen yet.
        let _ = client.send(b"who?").await;
        let answer = tokio::time::timeout(std::time::Duration::from_millis(50), client.recv(&mut buffer)).await;
        if matches!(answer, Ok(Ok(len)) if buffer[..len] == *format!("who? {expected}").as_bytes()) {
            return;
        }
    }
}

#[tokio::test]
async fn a_load_balancers_address_is_listened_at_where_it_is_this_machines() {
    let (mut scope, server, fabric, port) = (scope(), Server::default(), fabric(1), free_port().await);
    start(&mut scope, &server, &fabric, "n1", &NodePorts::default()).await;
    let backend = pod(&fabric, "10.244.1.2");
    let listener = backend.listen(at("0.0.0.0:8080"), 64).unwrap();
    scope.spawn(|_| async move {
        answer(listener, "one").await;
        Ok(())
    });
    let mut web = service("web", json!({"type": "LoadBalancer", "clusterIP": "10.96.0.2", "ports": [{"port": port}]}));
    let ingress = json!([{"ip": "192.0.2.77"}, {"ip": "127.0.0.1"}]);
    web.status = serde_json::from_value(json!({"loadBalancer": {"ingress": ingress}})).unwrap();
    server.tell("ADDED", &web);
    server.tell("ADDED", &slice("web", json!([{"port": 8080}]), &[("10.244.1.2", "n1", "rs")]));
    until_it_answers(port, "one").await;
}

#[tokio::test]
async fn a_balancer_is_told_which_node_has_endpoints() {
    let (mut scope, server, fabric, port) = (scope(), Server::default(), fabric(1), free_port().await);
    start(&mut scope, &server, &fabric, "n1", &NodePorts::default()).await;
    let spec = json!({
        "type": "LoadBalancer", "clusterIP": "10.96.0.2", "externalTrafficPolicy": "Local", "ports": [{"port": 80}],
        "healthCheckNodePort": port,
    });
    let web = service("web", spec);
    server.tell("ADDED", &web);
    let status = async |expected: &str, n_local: usize| {
        let n_local = format!("\"localEndpoints\": {n_local},");
        while !health(port).await.is_some_and(|heard| heard.starts_with(expected) && heard.contains(&n_local)) {
            tokio::task::yield_now().await;
        }
    };
    status("HTTP/1.1 503", 0).await;
    let (here, there) = (("10.244.1.2", "n1", "rs"), ("10.244.2.2", "n2", "rs"));
    let ports = json!([{"port": 8080}]);
    server.tell("ADDED", &slice("web", ports.clone(), &[here, there, ("10.244.1.3", "n1", "s")]));
    status("HTTP/1.1 200", 1).await;
    server.tell("MODIFIED", &slice("web", ports, &[there]));
    status("HTTP/1.1 503", 0).await;
    server.tell("DELETED", &web);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// What a balancer hears, if anybody listens.
async fn health(port: u16) -> Option<String> {
    let (mut heard, mut tcp) = (String::new(), TcpStream::connect(("127.0.0.1", port)).await.ok()?);
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await.ok()?;
    tcp.read_to_string(&mut heard).await.ok()?;
    Some(heard)
}
