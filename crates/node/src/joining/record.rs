//! What a node keeps of its membership: one private file, replaced whole.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coracle_pki::Identity;
use kube::Client;
use kube::config::{AuthInfo, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Error;

/// Under whatever address a node reaches the API server: this name is on its certificate.
pub(super) const SERVER_NAME: &str = "kubernetes";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) server: String,
    pub(super) name: String,
    pub(super) ca_pem: String,
    certificate_pem: String,
    key_pem: String,
    /// The key of the first certificate, while another is in use: what is derived from it outlives that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_key_pem: Option<String>,
}

impl Record {
    pub(super) fn new(server: String, name: String, ca_pem: String, identity: Identity) -> Self {
        let Identity { certificate_pem, key_pem } = identity;
        Self { server, name, ca_pem, certificate_pem, key_pem, first_key_pem: None }
    }

    /// The same member with the next certificate.
    pub(super) fn renewed(&self, identity: Identity) -> Self {
        let first_key_pem = Some(self.first_key_pem.as_ref().unwrap_or(&self.key_pem).clone());
        Self { first_key_pem, ..Self::new(self.server.clone(), self.name.clone(), self.ca_pem.clone(), identity) }
    }

    /// The node's secret for `purpose`, the same for as long as it is a member.
    pub(super) fn secret(&self, purpose: &str) -> [u8; 32] {
        coracle_pki::secret(self.first_key_pem.as_ref().unwrap_or(&self.key_pem), purpose)
    }

    /// What was kept in `dir`, if anything.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = path(dir);
        let failed = |source| Error::from(coracle_pki::Error::Read { path: path.clone(), source });
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).expect("strings are JSON");
        Ok(coracle_pki::write_private(&path(dir), &bytes)?)
    }

    /// Whether the certificate is still good for something.
    pub(super) fn is_good(&self) -> Result<bool, Error> {
        Ok(self.validity()?.1 > SystemTime::now())
    }

    pub(super) fn validity(&self) -> Result<(SystemTime, SystemTime), Error> {
        Ok(coracle_pki::validity(&self.certificate_pem)?)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { certificate_pem: self.certificate_pem.clone(), key_pem: self.key_pem.clone() }
    }

    /// A client that is this node.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let encode = |pem: &str| BASE64_STANDARD.encode(pem);
        let auth = json!({
            "client-certificate-data": encode(&self.certificate_pem),
            "client-key-data": encode(&self.key_pem),
        });
        client(&self.server, &self.ca_pem, auth)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("membership.json")
}

/// A client that is whoever `token` speaks for.
pub(super) fn bootstrap_client(server: &str, ca_pem: &str, token: &str) -> Result<Client, Error> {
    client(server, ca_pem, json!({"token": token}))
}

fn client(server: &str, ca_pem: &str, auth: serde_json::Value) -> Result<Client, Error> {
    let failed = |source| Error::Client { server: server.to_owned(), source: Box::new(source) };
    let mut config = Config::new(super::uri(server)?);
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes());
    let ca = ca.map_err(|error| coracle_pki::Error::Certificate { cause: error.to_string() })?;
    config.root_cert = Some(vec![ca.to_vec()]);
    config.tls_server_name = Some(SERVER_NAME.to_owned());
    config.auth_info = serde_json::from_value::<AuthInfo>(auth).expect("the fields are those of a kubeconfig's user");
    Client::try_from(config).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_unreadable_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        assert!(Record::read(dir.path()).unwrap().is_none());
        let identity = Identity { certificate_pem: "CERT".into(), key_pem: "KEY".into() };
        let record = Record::new("https://192.0.2.1:6443".into(), "n1".into(), "CA".into(), identity);
        record.write(dir.path()).unwrap();
        let read = Record::read(dir.path()).unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.key_pem.as_str()), ("n1", "KEY"));
        let next = |key: &str| Identity { certificate_pem: "NEXT".into(), key_pem: key.into() };
        let renewed = read.renewed(next("KEY 2")).renewed(next("KEY 3"));
        assert_eq!((renewed.key_pem.as_str(), renewed.secret("a purpose")), ("KEY 3", record.secret("a purpose")));
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(path(dir.path()), "nonsense").unwrap();
        assert!(Record::read(dir.path()).is_err());
    }
}
