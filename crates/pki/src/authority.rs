//! The cluster's authority: it is made once, kept on disk, and issues every certificate. It never listens or connects.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::tokens::TokenKey;
use crate::{Error, files};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_VALIDITY: Duration = DAY.saturating_mul(3650);
/// How long a certificate of a component or of the administrator is good.
const CLIENT_VALIDITY: Duration = DAY.saturating_mul(365);
/// Clocks of two machines may differ by this much.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// The authority with the key that signs tokens. Cheap to clone.
#[derive(Clone)]
pub struct Pki(Arc<Inner>);

struct Inner {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    token_key: TokenKey,
    ends: SystemTime,
    key_pem: String,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("ca_pem", &self.0.ca_pem).finish_non_exhaustive()
    }
}

impl Pki {
    /// The authority in `dir`, made there when the directory is empty.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::create_dir(dir)?;
        let (ca_pem, key_pem) = load_or_create_ca(dir)?;
        let token_pem = load_or_create_key(&dir.join("sa.key"))?;
        let malformed = |source| Error::Malformed { path: dir.join("ca.key"), source };
        let key = KeyPair::from_pem(&key_pem).map_err(malformed)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)
            .map_err(|source| Error::Malformed { path: dir.join("ca.crt"), source })?;
        let ends = crate::validity(&ca_pem)?.1;
        Ok(Self(Arc::new(Inner { ca_pem, issuer, token_key: TokenKey::from_pem(&token_pem)?, ends, key_pem })))
    }

    /// The authority's certificate, which clients trust.
    pub fn ca_pem(&self) -> &str {
        &self.0.ca_pem
    }

    /// The key that signs and verifies the tokens of service accounts.
    pub fn token_key(&self) -> &TokenKey {
        &self.0.token_key
    }

    /// The secret of this authority for `purpose`, the same at every start.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        crate::secret(&self.0.key_pem, purpose)
    }

    /// A fresh certificate by which a client is `user`, a member of `group`.
    pub fn issue_client(&self, user: &str, group: Option<&str>) -> Result<Identity, Error> {
        let mut name = DistinguishedName::new();
        if let Some(group) = group {
            name.push(DnType::OrganizationName, group);
        }
        name.push(DnType::CommonName, user);
        self.issue(name, Vec::new(), &[ExtendedKeyUsagePurpose::ClientAuth], CLIENT_VALIDITY)
    }

    /// A fresh certificate for a server that is reached under `names` (host names and addresses).
    pub(crate) fn issue_server(&self, names: &[String], validity: Duration) -> Result<Identity, Error> {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "coracle-apiserver");
        self.issue(name, names.to_vec(), &[ExtendedKeyUsagePurpose::ServerAuth], validity)
    }

    /// The key and name that sign every certificate.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.0.issuer
    }

    /// When the authority ends, and everything that it vouches for.
    pub(crate) fn ends(&self) -> SystemTime {
        self.0.ends
    }

    fn issue(
        &self,
        name: DistinguishedName,
        names: Vec<String>,
        usages: &[ExtendedKeyUsagePurpose],
        validity: Duration,
    ) -> Result<Identity, Error> {
        let subject = format!("{:?}", name.get(&DnType::CommonName));
        let issue = |source| Error::Issue { subject: subject.clone(), source };
        let key = KeyPair::generate().map_err(issue)?;
        let mut params = CertificateParams::new(names).map_err(issue)?;
        params.distinguished_name = name;
        restrict(&mut params, usages, validity);
        let certificate = params.signed_by(&key, &self.0.issuer).map_err(issue)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// No leaf certificate is an authority, whatever its request asked for.
fn restrict(params: &mut CertificateParams, usages: &[ExtendedKeyUsagePurpose], validity: Duration) {
    let now = SystemTime::now();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = usages.to_vec();
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + validity).into();
}

fn load_or_create_ca(dir: &Path) -> Result<(String, String), Error> {
    let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    match (files::read(&certificate_path)?, files::read(&key_path)?) {
        (Some(certificate), Some(key)) => Ok((certificate, key)),
        (Some(_), None) => Err(Error::HalfMissing { path: key_path, present: certificate_path }),
        // The key is written first: alone, it is the trace of a first start that did not complete.
        (None, _) => {
            let identity = create_ca()?;
            files::write_private(&key_path, identity.key_pem.as_bytes())?;
            files::write_private(&certificate_path, identity.certificate_pem.as_bytes())?;
            Ok((identity.certificate_pem, identity.key_pem))
        }
    }
}

fn create_ca() -> Result<Identity, Error> {
    let issue = |source| Error::Issue { subject: "the authority".to_owned(), source };
    let key = KeyPair::generate().map_err(issue)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "coracle-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + CA_VALIDITY).into();
    let certificate = params.self_signed(&key).map_err(issue)?;
    Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

fn load_or_create_key(path: &Path) -> Result<String, Error> {
    if let Some(pem) = files::read(path)? {
        return Ok(pem);
    }
    let key = KeyPair::generate().map_err(|source| Error::Malformed { path: path.to_owned(), source })?;
    let pem = key.serialize_pem();
    files::write_private(path, pem.as_bytes())?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::subject::{Subject, subject_of_pem};

    #[test]
    fn an_authority_survives_a_restart_and_hides_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let pki_dir = dir.path().join("pki");
        let first = Pki::open(&pki_dir).unwrap();
        let second = Pki::open(&pki_dir).unwrap();
        assert_eq!(first.ca_pem(), second.ca_pem());
        for file in ["ca.crt", "ca.key", "sa.key"] {
            let mode = std::fs::metadata(pki_dir.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn an_authority_without_its_key_is_an_error_and_not_a_new_authority() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        assert!(matches!(Pki::open(dir.path()), Err(Error::HalfMissing { .. })));
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_repeated() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
        Pki::open(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("ca.key"), "nonsense").unwrap();
        let error = Pki::open(dir.path()).err().unwrap();
        assert!(error.to_string().contains("ca.key"), "{error}");
    }

    #[test]
    fn a_client_certificate_names_its_user_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let identity = pki.issue_client("system:node:n1", Some("system:nodes")).unwrap();
        let expected = Subject { common_name: "system:node:n1".into(), organizations: vec!["system:nodes".into()] };
        assert_eq!(subject_of_pem(&identity.certificate_pem).unwrap(), expected);
    }
}
