//! Service addresses, as whoever answers for them says.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;

/// 10.96.0.1:80 leads to the first of these endpoints that has not refused.
struct InOrder {
    endpoints: Vec<&'static str>,
    via: Via,
    n_outstanding: Arc<AtomicUsize>,
    asked: Mutex<Vec<Option<IpAddr>>>,
}

impl InOrder {
    fn new(endpoints: Vec<&'static str>) -> Arc<Self> {
        Arc::new(Self { endpoints, via: Via::Fabric, n_outstanding: Arc::default(), asked: Mutex::default() })
    }
}

impl ServiceRoutes for InOrder {
    fn route(&self, from: Option<IpAddr>, to: SocketAddr, _: Protocol, refused: &[SocketAddr]) -> Route {
        if to != at("10.96.0.1:80") {
            return Route::NotService;
        }
        self.asked.lock().push(from);
        let mut endpoints = self.endpoints.iter().map(|text| at(text));
        let Some(address) = endpoints.find(|address| !refused.contains(address)) else { return Route::NoEndpoints };
        let outstanding = Some(Outstanding::begin(self.n_outstanding.clone()));
        Route::Endpoint(Endpoint { address, via: self.via, outstanding })
    }
}

#[tokio::test]
async fn a_refusing_endpoint_is_skipped() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:8080");
    let services = InOrder::new(vec!["10.244.1.99:8080", "10.244.1.3:80", "10.244.1.3:8080"]);
    node.set_services(services.clone());
    let (near, far) = connect(&client, &*listener, "10.96.0.1:80").await;
    assert_eq!(near.peer_addr(), at("10.96.0.1:80"));
    assert_eq!(far.local_addr(), at("10.244.1.3:8080"));
    assert_eq!(*services.asked.lock(), [Some(ip("10.244.1.2")); 3]);
    assert_eq!(services.n_outstanding.load(Ordering::Relaxed), 1);
    drop(near);
    assert_eq!(services.n_outstanding.load(Ordering::Relaxed), 0);
    assert_eq!(outcome(&client, "10.96.0.1:81").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn a_service_without_endpoints_refuses() {
    let node = node(1);
    let client = pod(&node, "10.244.1.2");
    node.set_services(InOrder::new(vec![]));
    assert_eq!(outcome(&client, "10.96.0.1:80").await, Err(NetworkError::ConnectionRefused));
    node.set_services(InOrder::new(vec!["10.244.1.99:8080"]));
    assert_eq!(outcome(&client, "10.96.0.1:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn a_pod_reaches_itself_through_its_service() {
    let node = node(1);
    let server = pod(&node, "10.244.1.3");
    let listener = listen(&server, "0.0.0.0:8080");
    node.set_services(InOrder::new(vec!["10.244.1.3:8080"]));
    let (_near, far) = connect(&server, &*listener, "10.96.0.1:80").await;
    assert_eq!(far.peer_addr().ip(), ip("10.244.1.3"));
}

#[tokio::test]
async fn the_node_reaches_services() {
    let node = node(1);
    let server = pod(&node, "10.244.1.3");
    let listener = listen(&server, "0.0.0.0:8080");
    node.set_services(InOrder::new(vec!["10.244.1.3:8080"]));
    let (near, far) = tokio::join!(node.connect(at("10.96.0.1:80")), listener.accept());
    assert_eq!(near.unwrap().local_addr(), far.unwrap().peer_addr());
}

#[tokio::test]
async fn a_route_may_lead_to_the_host() {
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: &'static str = host.local_addr().unwrap().to_string().leak();
    let node = node(1);
    let client = pod(&node, "10.244.1.2");
    let services =
        InOrder { endpoints: vec![address], via: Via::Host, n_outstanding: Arc::default(), asked: Mutex::default() };
    node.set_services(Arc::new(services));
    let (near, accepted) = tokio::join!(client.connect(None, at("10.96.0.1:80")), host.accept());
    let mut near = near.unwrap();
    assert_eq!((near.local_addr().ip(), near.peer_addr()), (ip("10.244.1.2"), at("10.96.0.1:80")));
    says(&mut near, "ping").await;
    let mut heard = [0; 4];
    accepted.unwrap().0.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    assert_eq!(outcome(&client, address).await, Err(NetworkError::ConnectionRefused), "loopback stays the pod's own");
}
