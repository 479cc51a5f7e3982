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

#[tokio::test]
async fn what_a_sandbox_cannot_answer_counts_for_nothing() {
    let (fabric, _network, ip) = pod();
    let outcome = probe(fabric, plan(ProbeTarget::Unsupported("exec")), Some(ip)).await;
    assert!(matches!(outcome, Outcome::Unknown(message) if message.starts_with("exec probes cannot be made")));
}
