//! Trust on the word of a token: an authority is believed when its public key has the hash that the token carries.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;
use crate::tls::provider;

/// The hash of a certificate's public key, as kubeadm takes it: SHA-256 of its SubjectPublicKeyInfo.
pub fn key_hash(certificate: &CertificateDer<'_>) -> Result<[u8; 32], Error> {
    let malformed = |error: x509_parser::nom::Err<_>| Error::Certificate { cause: error.to_string() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(malformed)?;
    Ok(Sha256::digest(parsed.public_key().raw).into())
}

/// Finds the authority that a pin means among the certificates that a server shows.
#[derive(Clone, Debug)]
pub struct Pin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hash: [u8; 32],
    found: Mutex<Option<CertificateDer<'static>>>,
    schemes: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl Pin {
    pub fn new(hash: [u8; 32]) -> Self {
        let schemes = provider().signature_verification_algorithms;
        Self(Arc::new(Inner { hash, found: Mutex::new(None), schemes }))
    }

    /// Settings of a client that connects only to a server of the authority with this hash.
    pub fn client_config(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let verified =
            builder.map_err(Error::tls)?.dangerous().with_custom_certificate_verifier(Arc::new(self.clone()));
        Ok(verified.with_no_client_auth())
    }

    /// The authority's certificate in PEM, once a handshake has succeeded.
    pub fn found(&self) -> Option<String> {
        self.0.found.lock().as_ref().map(to_pem)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut shown = intermediates.iter();
        let pinned = shown.find(|shown| key_hash(shown).is_ok_and(|hash| hash == self.0.hash));
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let authority = pinned.ok_or(unknown)?.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(certificate, &[], name, ocsp, now)?;
        *self.0.found.lock() = Some(authority);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes.supported_schemes()
    }
}

/// A certificate as PEM has it.
fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::Pki;
    use crate::tls::tests::shake_hands;

    #[test]
    fn a_server_is_believed_when_its_authority_has_the_hash_of_the_pin() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let ca = CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap();
        let connect = |hash| {
            let pin = Pin::new(hash);
            let name = ServerName::try_from("kubernetes").unwrap();
            let mut client = ClientConnection::new(Arc::new(pin.client_config().unwrap()), name).unwrap();
            let server = pki.server_config(vec!["kubernetes".into()]).unwrap();
            let mut server = ServerConnection::new(server).unwrap();
            shake_hands(&mut client, &mut server).map(|()| pin.found().unwrap())
        };
        assert_eq!(connect(key_hash(&ca).unwrap()).unwrap().trim(), pki.ca_pem().trim());
        assert!(connect([7; 32]).is_err());
    }
}
