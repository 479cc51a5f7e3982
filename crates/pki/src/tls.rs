//! TLS settings of both sides: TLS 1.2 and 1.3 by ring, HTTP/2 or HTTP/1.1.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::server::ServerCertificate;
use crate::{Error, Identity, Pki};

const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

impl Pki {
    /// Settings of a server reached under `names`. A client may show a certificate; one that is not from this authority
    /// ends the handshake.
    pub fn server_config(&self, names: Vec<String>) -> Result<Arc<ServerConfig>, Error> {
        let provider = provider();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(Error::tls)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::tls)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(ServerCertificate::new(self.clone(), names)?));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// Settings of a client that trusts this authority, and shows `identity` when it has one.
    pub fn client_config(&self, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::tls)?
            .with_root_certificates(self.roots()?);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(Error::tls)?;
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(Error::tls)?;
                builder.with_client_auth_cert(chain, key).map_err(Error::tls)?
            }
        };
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_pem().as_bytes()) {
            roots.add(certificate.map_err(Error::tls)?).map_err(Error::tls)?;
        }
        Ok(roots)
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    /// Lets the two ends talk until neither has anything to say, or one refuses.
    pub(crate) fn shake_hands(
        client: &mut ClientConnection,
        server: &mut ServerConnection,
    ) -> Result<(), rustls::Error> {
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            let mut bytes = wire.as_slice();
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).unwrap();
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            let mut bytes = wire.as_slice();
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok(())
    }

    fn connect(
        pki: &Pki,
        identity: Option<&Identity>,
        name: &'static str,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let server = pki.server_config(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let client = pki.client_config(identity).unwrap();
        let mut client = ClientConnection::new(client, ServerName::try_from(name).unwrap())?;
        let mut server = ServerConnection::new(server)?;
        shake_hands(&mut client, &mut server)?;
        Ok((client, server))
    }

    #[test]
    fn a_client_with_a_certificate_is_known_and_data_flows() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let admin = pki.issue_client("admin", Some("system:masters")).unwrap();
        let (mut client, mut server) = connect(&pki, Some(&admin), "127.0.0.1").unwrap();
        let peer = &server.peer_certificates().unwrap()[0];
        assert_eq!(crate::subject(peer).unwrap().organizations, ["system:masters"]);
        assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
        client.writer().write_all(b"hello").unwrap();
        shake_hands(&mut client, &mut server).unwrap();
        let mut said = [0; 5];
        server.reader().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
    }

    #[test]
    fn a_client_without_a_certificate_is_let_in_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let (_, server) = connect(&pki, None, "localhost").unwrap();
        assert!(server.peer_certificates().is_none());
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pki = Pki::open(ours.path()).unwrap();
        let stranger = Pki::open(theirs.path()).unwrap().issue_client("admin", Some("system:masters")).unwrap();
        assert!(connect(&pki, Some(&stranger), "localhost").is_err());
    }

    #[test]
    fn a_server_under_a_name_that_it_does_not_have_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        assert!(connect(&pki, None, "elsewhere.example").is_err());
    }
}
