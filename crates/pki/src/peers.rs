//! TLS between nodes: both sides show the certificate by which they are clients of the API, and both verify it. Who a
//! node is, is in its certificate's subject; names of servers mean nothing here.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, version};

use crate::tls::provider;
use crate::{Error, Identity};

/// A certificate and key that may be replaced while they are in use. Cheap to clone; all clones change together.
#[derive(Clone, Debug)]
pub struct Renewable(Arc<RwLock<Arc<CertifiedKey>>>);

impl Renewable {
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(certified(identity)?)))))
    }

    /// Shows `identity` from now on.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        *self.0.write() = Arc::new(certified(identity)?);
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().clone()
    }
}

fn certified(identity: &Identity) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(Error::tls)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(Error::tls)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(Error::tls)?;
    Ok(CertifiedKey::new(chain, key))
}

impl ResolvesClientCert for Renewable {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Settings of both sides of `protocol` between holders of client certificates from the authority `ca_pem`. TLS 1.3 only.
pub fn peer_configs(ca_pem: &str, own: &Renewable, protocol: &[u8]) -> Result<(ClientConfig, ServerConfig), Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.map_err(Error::tls)?).map_err(Error::tls)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let verifier = verifier.map_err(Error::tls)?;
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(Error::tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier(verifier.clone())))
        .with_client_cert_resolver(Arc::new(own.clone()));
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(Error::tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(own.clone()));
    client.alpn_protocols = vec![protocol.to_vec()];
    server.alpn_protocols = vec![protocol.to_vec()];
    Ok((client, server))
}

/// Verifies who answers as it would who calls: by the authority, not by a host's name.
#[derive(Debug)]
struct PeerVerifier(Arc<dyn ClientCertVerifier>);

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify_client_cert(certificate, intermediates, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
