//! A client as lean as can be, because it shares the machine with the server that it measures: HTTP/1.1 written by hand,
//! one request after another on one TLS connection.

use std::sync::Arc;

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

/// Bytes that a read makes room for.
const READ_BYTES: usize = 64 << 10;

/// What a kubeconfig says: where the server is, and how to prove who we are.
pub(crate) struct Access {
    address: String,
    tls: tokio_rustls::TlsConnector,
}

impl Access {
    pub(crate) fn read(cluster: &Cluster) -> Result<Arc<Self>> {
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
        Ok(Arc::new(Self { address, tls: Arc::new(tls).into() }))
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        Ok(Connection { stream, buffer: Vec::new(), n_used: 0 })
    }

    /// Creates what `body` makes of each number below `n`, by `n_clients` at one time.
    pub(crate) async fn create_many(
        self: &Arc<Self>,
        path: &'static str,
        n: usize,
        n_clients: usize,
        body: impl Fn(usize) -> String + Copy + Send + 'static,
    ) -> Result<()> {
        let mut clients = JoinSet::new();
        for client in 0..n_clients {
            let mut connection = self.connect().await?;
            clients.spawn(async move {
                for number in (client..n).step_by(n_clients) {
                    connection.create(path, &body(number)).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn pem(from: &Value, key: &str) -> Result<Vec<u8>> {
    let text = from[key].as_str().with_context(|| format!("{key} in the kubeconfig"))?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

/// One connection, which answers one request at a time.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that belong to what was answered before.
    n_used: usize,
}

impl Connection {
    pub(crate) async fn create(&mut self, path: &str, body: &str) -> Result<()> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.stream.write_all((head + body).as_bytes()).await?;
        let (code, body) = self.answer().await?;
        if code != 201 {
            bail!("POST {path} was answered {code}: {}", String::from_utf8_lossy(body));
        }
        Ok(())
    }

    /// A JSON merge patch; returns the object.
    pub(crate) async fn merge(&mut self, path: &str, patch: &str) -> Result<&[u8]> {
        let length = patch.len();
        let head = format!("PATCH {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/merge-patch+json\r\n");
        let request = format!("{head}content-length: {length}\r\n\r\n{patch}");
        self.stream.write_all(request.as_bytes()).await?;
        let (code, body) = self.answer().await?;
        if code != 200 {
            bail!("PATCH {path} was answered {code}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Result<()> {
        let request = format!("DELETE {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let (code, body) = self.answer().await?;
        if code != 200 {
            bail!("DELETE {path} was answered {code}: {}", String::from_utf8_lossy(body));
        }
        Ok(())
    }

    /// The code with which a GET is answered.
    pub(crate) async fn status_of(&mut self, path: &str) -> Result<u16> {
        self.ask(path).await?;
        Ok(self.answer().await?.0)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<&[u8]> {
        self.ask(path).await?;
        let (code, body) = self.answer().await?;
        if code != 200 {
            bail!("GET {path} was answered {code}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// Begins a watch: its lines follow by [`Connection::line`].
    pub(crate) async fn watch(&mut self, path: &str) -> Result<()> {
        self.ask(path).await?;
        let head = self.until(b"\r\n\r\n").await?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("GET {path} was answered {head}");
        }
        Ok(())
    }

    /// The next line of a watch, which comes as a chunk of its own.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let length = self.until(b"\r\n").await?;
        let n_bytes = usize::from_str_radix(length.trim(), 16)?;
        let line = self.exactly(n_bytes + 2).await?;
        Ok(String::from_utf8_lossy(&line[..n_bytes]).into_owned())
    }

    async fn ask(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    async fn answer(&mut self) -> Result<(u16, &[u8])> {
        let head = self.until(b"\r\n\r\n").await?.to_ascii_lowercase();
        let code = head.split(' ').nth(1).context("a status")?.parse()?;
        let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) else {
            // What comes in chunks is of no interest here, but for where it ends.
            while !self.line().await?.is_empty() {}
            return Ok((code, &[]));
        };
        Ok((code, self.exactly(length.trim().parse()?).await?))
    }

    /// Everything up to `end`, and `end`.
    async fn until(&mut self, end: &[u8]) -> Result<String> {
        let mut from = 0;
        loop {
            let rest = &self.buffer[self.n_used..];
            if let Some(at) = rest[from..].windows(end.len()).position(|window| window == end) {
                let text = String::from_utf8_lossy(&rest[..from + at + end.len()]).into_owned();
                self.n_used += from + at + end.len();
                return Ok(text);
            }
            from = rest.len().saturating_sub(end.len());
            self.read(READ_BYTES).await?;
        }
    }

    async fn exactly(&mut self, n_bytes: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.n_used < n_bytes {
            self.read(n_bytes).await?;
        }
        let from = self.n_used;
        self.n_used += n_bytes;
        Ok(&self.buffer[from..self.n_used])
    }

    async fn read(&mut self, n_bytes: usize) -> Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.n_used));
        self.buffer.reserve(n_bytes);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed a connection");
        }
        Ok(())
    }
}
