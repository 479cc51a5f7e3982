//! Finds the cluster's authority at its API server: the one whose public key has the hash that the token carries.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use coracle_pki::Pin;
use http::Uri;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;
use super::record::SERVER_NAME;

const TIMEOUT: Duration = Duration::from_secs(15);
const HTTPS_PORT: u16 = 443;

/// The authority's certificate in PEM.
pub(super) async fn authority(server: &Uri, hash: [u8; 32]) -> Result<String, Error> {
    let failed = |source| Error::Connect { server: server.to_string(), source };
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let address = (host, server.port_u16().unwrap_or(HTTPS_PORT));
    let pin = Pin::new(hash);
    let connector = TlsConnector::from(Arc::new(pin.client_config()?));
    let shake_hands = async {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(SERVER_NAME).expect("it is a domain name");
        connector.connect(name, tcp).await
    };
    let outcome = tokio::time::timeout(TIMEOUT, shake_hands).await;
    match outcome.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(_) => pin.found().ok_or_else(|| Error::OtherCluster { server: server.to_string() }),
        Err(error) if is_about_certificates(&error) => Err(Error::OtherCluster { server: server.to_string() }),
        Err(error) => Err(failed(error)),
    }
}

fn is_about_certificates(error: &IoError) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
