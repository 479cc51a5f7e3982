//! Requests for certificates: what they ask for, and the certificates that answer them.
//!
//! A request is read and its signature verified in one step. Whether its maker may have what it asks for is the caller's
//! to decide.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::authority::{CLOCK_SKEW, Pki};
use crate::{Error, Subject, subject};

/// A certificate that is good for less than this gets no more than it asked for, the allowance for clocks included.
const SHORT: Duration = Duration::from_secs(8 * 60 * 60);

/// A request that its maker has signed.
#[derive(Debug)]
pub struct Request {
    pub subject: Subject,
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<IpAddr>,
    pub emails: Vec<String>,
    pub uris: Vec<String>,
    params: CertificateSigningRequestParams,
}

impl Request {
    /// Reads the first request of a PEM text.
    pub fn parse(pem: &str) -> Result<Self, Error> {
        let malformed = |source| Error::Request { source };
        let unreadable = || malformed(rcgen::Error::CouldNotParseCertificationRequest);
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        let params = CertificateSigningRequestParams::from_der(&der).map_err(malformed)?;
        let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|_| unreadable())?;
        let mut request = Self {
            subject: subject::of_name(&parsed.certification_request_info.subject),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            params,
        };
        for name in &request.params.params.subject_alt_names {
            match name {
                SanType::DnsName(name) => request.dns_names.push(name.to_string()),
                SanType::IpAddress(address) => request.ip_addresses.push(*address),
                SanType::Rfc822Name(name) => request.emails.push(name.to_string()),
                SanType::URI(name) => request.uris.push(name.to_string()),
                _ => {}
            }
        }
        Ok(request)
    }
}

impl Pki {
    /// The certificate that answers `request`: its key, subject and names, for `usages` as Kubernetes names them.
    pub fn sign(&self, request: &Request, usages: &[&str], validity: Duration) -> Result<String, Error> {
        let subject = &request.subject;
        let mut params = request.params.params.clone();
        let n_kept = params.distinguished_name.iter().filter(|(kind, _)| **kind == DnType::OrganizationName).count();
        if n_kept != subject.organizations.len() {
            return Err(Error::Organizations { n: subject.organizations.len() });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = usages.iter().filter_map(|usage| key_usage(usage)).collect();
        params.extended_key_usages = usages.iter().filter_map(|usage| extended_usage(usage)).collect();
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        let end = if validity < SHORT { now + validity.saturating_sub(CLOCK_SKEW) } else { now + validity };
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = end.min(self.ends()).into();
        let answer = CertificateSigningRequestParams { params, public_key: request.params.public_key.clone() };
        let issue = |source| Error::Issue { subject: subject.common_name.clone(), source };
        Ok(answer.signed_by(self.issuer()).map_err(issue)?.pem())
    }
}

fn key_usage(name: &str) -> Option<KeyUsagePurpose> {
    Some(match name {
        "signing" | "digital signature" => KeyUsagePurpose::DigitalSignature,
        "content commitment" => KeyUsagePurpose::ContentCommitment,
        "key encipherment" => KeyUsagePurpose::KeyEncipherment,
        "key agreement" => KeyUsagePurpose::KeyAgreement,
        "data encipherment" => KeyUsagePurpose::DataEncipherment,
        "encipher only" => KeyUsagePurpose::EncipherOnly,
        "decipher only" => KeyUsagePurpose::DecipherOnly,
        _ => return None,
    })
}

fn extended_usage(name: &str) -> Option<ExtendedKeyUsagePurpose> {
    Some(match name {
        "any" => ExtendedKeyUsagePurpose::Any,
        "server auth" => ExtendedKeyUsagePurpose::ServerAuth,
        "client auth" => ExtendedKeyUsagePurpose::ClientAuth,
        "code signing" => ExtendedKeyUsagePurpose::CodeSigning,
        "email protection" | "s/mime" => ExtendedKeyUsagePurpose::EmailProtection,
        "timestamping" => ExtendedKeyUsagePurpose::TimeStamping,
        "ocsp signing" => ExtendedKeyUsagePurpose::OcspSigning,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, KeyPair};

    use super::*;
    use crate::subject::subject_of_pem;

    const HOUR: Duration = Duration::from_secs(3600);

    fn request(organization: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["n1.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn a_request_says_what_it_asks_for() {
        let request = Request::parse(&request("team")).unwrap();
        assert_eq!(request.subject, Subject { common_name: "jane".into(), organizations: vec!["team".into()] });
        assert_eq!(request.dns_names, ["n1.example"]);
        assert_eq!(request.ip_addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(matches!(Request::parse("nonsense"), Err(Error::Request { .. })));
    }

    #[test]
    fn a_request_is_answered_with_its_own_subject() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let pem = pki.sign(&Request::parse(&request("team")).unwrap(), &["client auth"], HOUR).unwrap();
        let subject = subject_of_pem(&pem).unwrap();
        assert_eq!((subject.common_name.as_str(), subject.organizations), ("jane", vec!["team".to_owned()]));
        let (_, until) = crate::validity(&pem).unwrap();
        assert!(until < SystemTime::now() + HOUR, "clocks may differ, and a short life stays short");
    }
}
