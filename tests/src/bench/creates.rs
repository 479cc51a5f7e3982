//! Durable creates of ConfigMaps by 64 clients, each on a TLS connection of its own. The client side is as lean as can
//! be, because it shares the machine with the server: one HTTP/1.1 request after another, written by hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use coracle_tests::cluster::Cluster;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::{median, report};

const N_CLIENTS: usize = 64;
const N_RUNS: usize = 3;
const LASTING: Duration = Duration::from_secs(5);
/// kube-apiserver 1.36 with etcd 3.6 on two cores, as measured when Coracle was founded.
const REAL_KUBERNETES: f64 = 2285.0;

pub(crate) fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::up(dir.path(), &[]);
    let access = Arc::new(Access::read(&cluster)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let runs = (0..N_RUNS).map(|run| runtime.block_on(burst(access.clone(), run))).collect::<Result<Vec<_>>>()?;
    report(
        "durable ConfigMap creates, 64 clients",
        median(runs),
        "/s",
        "kube-apiserver + etcd (recorded)",
        REAL_KUBERNETES,
    );
    Ok(())
}

async fn burst(access: Arc<Access>, run: usize) -> Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..N_CLIENTS {
        connections.push(access.connect().await?);
    }
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for (client, connection) in connections.into_iter().enumerate() {
        clients.spawn(create_until(start + LASTING, connection, run, client));
    }
    let mut n_created = 0;
    while let Some(ended) = clients.join_next().await {
        n_created += ended??;
    }
    Ok(n_created as f64 / start.elapsed().as_secs_f64())
}

async fn create_until(end: Instant, mut stream: TlsStream<TcpStream>, run: usize, client: usize) -> Result<usize> {
    let mut n_created = 0;
    let mut answer = vec![0; 16 * 1024];
    while Instant::now() < end {
        let name = format!("c{run}-{client}-{n_created}");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"key":"value"}}}}"#
        );
        let head =
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n";
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await?;
        read_created(&mut stream, &mut answer).await?;
        n_created += 1;
    }
    Ok(n_created)
}

/// Reads one answer whole, so that the connection can be used again.
async fn read_created(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> Result<()> {
    let mut n_read = 0;
    loop {
        let n = stream.read(&mut buffer[n_read..]).await?;
        if n == 0 {
            bail!("the server closed a connection");
        }
        n_read += n;
        let text = String::from_utf8_lossy(&buffer[..n_read]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if !head.starts_with("HTTP/1.1 201") {
            bail!("not created: {text}");
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("content-length")?;
        if body.len() >= length.trim().parse()? {
            return Ok(());
        }
    }
}

/// What a kubeconfig says: where the server is, and how to prove who we are.
struct Access {
    address: String,
    tls: tokio_rustls::TlsConnector,
}

impl Access {
    fn read(cluster: &Cluster) -> Result<Self> {
        let config: Value = serde_yaml::from_str(&std::fs::read_to_string(cluster.kubeconfig())?)?;
        let (server, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem(server, "certificate-authority-data")?)?)?;
        let certificate = CertificateDer::from_pem_slice(&pem(user, "client-certificate-data")?)?;
        let key = PrivateKeyDer::from_pem_slice(&pem(user, "client-key-data")?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        let address = server["server"].as_str().context("server")?.trim_start_matches("https://").to_owned();
        Ok(Self { address, tls: Arc::new(tls).into() })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(self.tls.connect(ServerName::try_from("localhost")?, stream).await?)
    }
}

fn pem(from: &Value, key: &str) -> Result<Vec<u8>> {
    let text = from[key].as_str().with_context(|| format!("{key} in the kubeconfig"))?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}
