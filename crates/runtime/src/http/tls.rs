//! TLS for requests that guests make: the host shakes hands, and guests neither see keys nor choose whom to trust.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::{debug, warn};
use wasmtime_wasi_http::{Error, Result};

use crate::network::Stream;

const PROTOCOL: &[u8] = b"http/1.1";

/// Whom guests' requests trust: the authorities that were given, and those of the host.
pub(crate) struct Tls {
    authorities_pem: String,
    /// Reading the host's authorities takes a while, and most nodes never need them.
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(crate) fn new(authorities_pem: String) -> Self {
        Self { authorities_pem, connector: OnceCell::new() }
    }

    /// Reads the authorities now. For a process that will not be able to later.
    pub(crate) fn prepare(&self) {
        // Whoever was first has read the same.
        let _ = self.connector.set(connector_of(roots(&self.authorities_pem)));
    }

    /// A connection to the server that shows itself to be `host`.
    pub(crate) async fn shake_hands(&self, stream: Stream, host: &str) -> Result<TlsStream<Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let connector = self.connector.get_or_init(|| connector(self.authorities_pem.clone())).await;
        connector.connect(name, stream).await.map_err(|error| {
            debug!(host, %error, "a guest's TLS handshake failed");
            refusal(&error)
        })
    }
}

async fn connector(authorities_pem: String) -> TlsConnector {
    let roots = spawn_blocking(move || roots(&authorities_pem)).await.expect("reading certificates does not panic");
    connector_of(roots)
}

fn connector_of(roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// What cannot be read is left out: fewer are trusted then.
fn roots(authorities_pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities_pem.as_bytes()) {
        match certificate.map_err(|error| error.to_string()).map(|certificate| roots.add(certificate)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "an authority is not trusted: its certificate is malformed"),
            Err(error) => warn!(error, "authorities are not trusted: their PEM is malformed"),
        }
    }
    let hosts = rustls_native_certs::load_native_certs();
    for error in hosts.errors {
        warn!(%error, "could not read some of the host's authorities");
    }
    roots.add_parsable_certificates(hosts.certs);
    roots
}

/// Why a handshake failed, as far as `wasi:http` has words for it.
fn refusal(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => alert_received(*alert),
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

fn alert_received(alert: AlertDescription) -> Error {
    Error::TlsAlertReceived { alert_id: Some(alert.into()), alert_message: alert.as_str().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_fails_in_the_words_of_wasi() {
        let told = |error: rustls::Error| refusal(&io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert_eq!(told(unknown), "TLS certificate error");
        assert!(
            told(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)).starts_with("TLS alert received")
        );
        assert_eq!(told(rustls::Error::DecryptError), "TLS protocol error");
        assert_eq!(refusal(&io::ErrorKind::ConnectionReset.into()).to_string(), "connection terminated");
    }

    #[test]
    fn authorities_that_are_malformed_are_left_out() {
        let n_hosts = roots("").len();
        assert_eq!(roots("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").len(), n_hosts);
    }
}
