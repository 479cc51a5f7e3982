//! Requests of guests under TLS, which the host does.

use std::path::Path;

use coracle_runtime::Config;
use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server on `host` that shows a certificate for `name`, and the authority to trust.
fn secure_server(host: &Arc<Host>, name: &str) -> (JoinSet<()>, String) {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = host.listen("0.0.0.0:443".parse().unwrap(), 8).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            // A client that does not trust it goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            }
            let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}", line.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            // The client closes when it has all.
            let _ = stream.read_to_end(&mut head).await;
        }
    });
    (serving, cert.pem())
}

fn trusting(authorities_pem: String) -> Runtime {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Runtime::new(Config { instances_max: 64, authorities_pem, ..Config::new(cache_dir) }).unwrap()
}

#[tokio::test]
async fn guests_trust_the_authorities_that_the_host_was_given() {
    let fabric = Fabric::new();
    let (_serving, authority) = secure_server(&fabric.host(3, "secure.default.svc"), "secure.default.svc");
    fabric.host(3, "another.default.svc");
    let runtime = trusting(authority);
    let _server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = fabric.host(2, "client");
    let (status, body) = get(&client, "/fetch/https:secure.default.svc/x?y").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "GET /x?y HTTP/1.1"));
    let (_, body) = get(&client, "/fetch/https:another.default.svc/").await;
    assert!(body.contains("ErrorCode::TlsCertificateError"), "{body}");
}

#[tokio::test]
async fn guests_do_not_trust_whom_nobody_vouches_for() {
    let fabric = Fabric::new();
    let (_serving, _authority) = secure_server(&fabric.host(3, "secure.default.svc"), "secure.default.svc");
    let _server = serve(&trusting(String::new()), "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let (_, body) = get(&fabric.host(2, "client"), "/fetch/https:secure.default.svc/").await;
    assert!(body.contains("ErrorCode::TlsCertificateError"), "{body}");
}
