//! Reads who a certificate speaks for. It never decides whether to believe it.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::Error;

/// A certificate's subject: its common name is a user, its organisations are the user's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

/// The subject of a certificate.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<Subject, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| malformed(&error))?;
    let subject = of_name(parsed.subject());
    if subject.common_name.is_empty() { Err(malformed(&"it has no common name")) } else { Ok(subject) }
}

pub(crate) fn of_name(name: &X509Name<'_>) -> Subject {
    let common_name = name.iter_common_name().next().and_then(|value| value.as_str().ok());
    Subject {
        common_name: common_name.unwrap_or_default().to_owned(),
        organizations: name.iter_organization().filter_map(|value| value.as_str().ok()).map(str::to_owned).collect(),
    }
}

fn malformed(cause: &dyn std::fmt::Display) -> Error {
    Error::Certificate { cause: cause.to_string() }
}

#[cfg(test)]
pub(crate) fn subject_of_pem(pem: &str) -> Result<Subject, Error> {
    use rustls::pki_types::pem::PemObject;
    subject(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        assert!(matches!(subject(&CertificateDer::from(vec![1, 2, 3])), Err(Error::Certificate { .. })));
    }
}
