//! The server's own certificate: issued when first asked for, and anew when it nears its end. It is never stored.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

use crate::{Error, Pki};

const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// A server that runs for longer than this issues itself another certificate.
const RENEW_AFTER: Duration = Duration::from_secs(300 * 24 * 60 * 60);

/// Gives rustls the present certificate at each handshake.
pub(crate) struct ServerCertificate {
    pki: Pki,
    names: Vec<String>,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    issued: SystemTime,
}

impl ServerCertificate {
    pub(crate) fn new(pki: Pki, names: Vec<String>) -> Result<Self, Error> {
        let current = Mutex::new(issue(&pki, &names)?);
        Ok(Self { pki, names, current })
    }

    fn at(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let mut current = self.current.lock();
        // A failure to renew leaves the present certificate, which is good for weeks: the next handshake tries again.
        if is_due(current.issued, now)
            && let Ok(renewed) = issue(&self.pki, &self.names)
        {
            *current = Current { issued: now, ..renewed };
        }
        current.key.clone()
    }
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(SystemTime::now()))
    }
}

fn is_due(issued: SystemTime, now: SystemTime) -> bool {
    now.duration_since(issued).is_ok_and(|age| age >= RENEW_AFTER)
}

fn issue(pki: &Pki, names: &[String]) -> Result<Current, Error> {
    let identity = pki.issue_server(names, VALIDITY)?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).map_err(Error::tls)?;
    // It is not needed to verify the chain: who joins finds the authority here that its token pins.
    let authority = CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).map_err(Error::tls)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(Error::tls)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(Error::tls)?;
    Ok(Current { key: Arc::new(CertifiedKey::new(vec![certificate, authority], key)), issued: SystemTime::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_it_is_due_and_then_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let server = ServerCertificate::new(pki, vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        let now = SystemTime::now();
        let first = server.at(now);
        assert!(Arc::ptr_eq(&first, &server.at(now + RENEW_AFTER / 2)));
        let second = server.at(now + RENEW_AFTER + Duration::from_secs(60));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &server.at(now + RENEW_AFTER + Duration::from_secs(120))));
    }
}
