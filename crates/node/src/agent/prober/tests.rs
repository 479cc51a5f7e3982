//! Probes of a pod whose server is a few lines.

use coracle_net::{FabricConfig, PodIdentity, PodNetwork};
use coracle_runtime::network::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PORT: u16 = 8080;

fn pod() -> (Arc<Fabric>, Arc<PodNetwork>, IpAddr) {
    let pod_cidrs = vec!["10.244.0.0/24".parse().unwrap()];
    let fabric = Fabric::new(FabricConfig { pod_cidrs, ..FabricConfig::default() });
    let ip: IpAddr = "10.244.0.2".parse().unwrap();
    let identity = PodIdentity { namespace: "d".into(), name: "p".into(), uid: "u".into() };
    let network = fabric.attach(identity, &[ip]).unwrap();
    (fabric, network, ip)
}

fn plan(target: ProbeTarget) -> ProbePlan {
    ProbePlan {
        target,
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace: None,
    }
}

fn get(path: &str) -> ProbeTarget {
    let headers = vec![("X-Probe".to_owned(), "yes".to_owned())];
    ProbeTarget::HttpGet(HttpGet { host: None, port: PORT, path: path.to_owned(), tls: false, headers })
}

/// Probes a pod that answers one connection with `answer`, and returns the outcome and what the pod was asked.
async fn probed(path: &str, answer: &str) -> (Outcome, String) {
    let (fabric, network, ip) = pod();
    let listener = network.listen(SocketAddr::new(ip, PORT), 8).unwrap();
    let serve = async {
        let mut stream = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let n_read = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8_lossy(&asked[..n_read]).into_owned()
    };
    tokio::join!(probe(fabric, plan(get(path)), Some(ip)), serve)
}

#[tokio::test]
async fn a_status_below_400_is_a_success() {
    let (outcome, asked) = probed("/ok?x=1", "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(outcome, Outcome::Success);
    assert!(asked.starts_with("GET /ok?x=1 HTTP/1.1\r\n"), "{asked}");
    for header in ["host: 10.244.0.2:8080\r\n", "user-agent: kube-probe/1.37\r\n", "x-probe: yes\r\n"] {
        assert!(asked.contains(header), "{asked}");
    }
}

#[tokio::test]
async fn another_status_is_a_failure_in_upstreams_words() {
    let (outcome, _) = probed("/", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(outcome, Outcome::Failure("HTTP probe failed with statuscode: 503".into()));
}

#[tokio::test]
async fn nobody_who_listens_is_a_refused_connection() {
    let (fabric, _network, ip) = pod();
    let tcp = ProbeTarget::TcpSocket { host: None, port: PORT };
    let outcome = probe(fabric.clone(), plan(tcp), Some(ip)).await;
    assert_eq!(outcome, Outcome::Failure("dial tcp 10.244.0.2:8080: connect: connection refused".into()));
    let outcome = probe(fabric, plan(get("/")), Some(ip)).await;
    let expected = "Get \"http://10.244.0.2:8080/\": dial tcp 10.244.0.2:8080: connect: connection refused";
    assert_eq!(outcome, Outcome::Failure(expected.into()));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_a_timeout() {
    let (fabric, network, ip) = pod();
    let listener = network.listen(SocketAddr::new(ip, PORT), 8).unwrap();
    let silent = async {
        let _stream = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = probe(fabric, plan(get("/")), Some(ip)) => outcome,
        () = silent => unreachable!("it is silent for ever"),
    };
    let Outcome::Failure(message) = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("context deadline exceeded"), "{message}");
}

/// Probes a pod whose gRPC server gives its health as `body`, and ends with `grpc_status`.
async fn grpc_probed(body: &'static [u8], grpc_status: &'static str) -> Outcome {
    let (fabric, network, ip) = pod();
    let listener = network.listen(SocketAddr::new(ip, PORT), 8).unwrap();
    let answer = move |request: http::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let asked = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        assert_eq!(asked, b"\0\0\0\0\x05\x0a\x03abc"[..]);
        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), grpc_status.parse().unwrap())]);
        let body = http_body_util::Full::new(Bytes::from_static(body));
        let body = http_body_util::BodyExt::with_trailers(body, async { Some(Ok(trailers)) });
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    };
    let serve = async {
        let stream = TokioIo::new(listener.accept().await.unwrap());
        let service = hyper::service::service_fn(answer);
        let executor = hyper_util::rt::TokioExecutor::new();
        let _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, service).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = probe(fabric, plan(ProbeTarget::Grpc { port: PORT, service: "abc".into() }), Some(ip)) => outcome,
        () = serve => unreachable!("it serves for ever"),
    }
}

#[tokio::test]
async fn a_grpc_server_says_of_itself_whether_it_serves() {
    assert_eq!(grpc_probed(b"\0\0\0\0\x02\x08\x01", "0").await, Outcome::Success);
    let not_serving = Outcome::Failure("service unhealthy (responded with \"NOT_SERVING\")".into());
    assert_eq!(grpc_probed(b"\0\0\0\0\x02\x08\x02", "0").await, not_serving);
    let Outcome::Failure(unknown) = grpc_probed(b"", "12").await else { panic!("it has no such service") };
    assert!(unknown.contains("does not implement the grpc health protocol"), "{unknown}");
}
