//! A key of one's own, and the request by which an authority may vouch for it. The key never leaves its maker.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;

/// A private key and the request to certify it, both in PEM.
pub struct SigningRequest {
    pub key_pem: String,
    pub request_pem: String,
}

/// A fresh key, and the request to be `user`, a member of `group`.
pub fn signing_request(user: &str, group: &str) -> Result<SigningRequest, Error> {
    let failed = |source| Error::Issue { subject: user.to_owned(), source };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, user);
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
    Ok(SigningRequest { key_pem: key.serialize_pem(), request_pem: request })
}

/// From when until when a certificate in PEM is good.
pub fn validity(certificate_pem: &str) -> Result<(SystemTime, SystemTime), Error> {
    let malformed = |cause: String| Error::Certificate { cause };
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| malformed(e.to_string()))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| malformed(error.to_string()))?;
    let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    Ok((time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp())))
}

/// How long a certificate of this [`validity`] is still used: it is renewed when eight tenths of its time are over.
pub fn renewal_due_in((from, until): (SystemTime, SystemTime), now: SystemTime) -> Duration {
    let whole = until.duration_since(from).unwrap_or_default();
    (from + whole.mul_f64(0.8)).duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::subject_of_pem;
    use crate::{Pki, Request};

    #[test]
    fn a_request_becomes_a_certificate_of_who_asked() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let request = signing_request("system:node:n1", "system:nodes").unwrap();
        let hour = Duration::from_secs(3600);
        let signed = pki.sign(&Request::parse(&request.request_pem).unwrap(), &["client auth"], hour).unwrap();
        assert_eq!(subject_of_pem(&signed).unwrap().common_name, "system:node:n1");
        let (from, until) = validity(&signed).unwrap();
        assert!(from < SystemTime::now() && until > SystemTime::now() + hour / 2 && until < from + hour * 2);
        assert!(validity("nonsense").is_err());
    }

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let from = SystemTime::UNIX_EPOCH;
        let until = from + Duration::from_secs(1000);
        assert_eq!(renewal_due_in((from, until), from), Duration::from_secs(800));
        assert_eq!(renewal_due_in((from, until), from + Duration::from_secs(790)), Duration::from_secs(10));
        assert_eq!(renewal_due_in((from, until), until), Duration::ZERO);
    }
}
