//! Writes kubeconfig files: where a cluster is, whom to trust, and who one is.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::{Error, Identity, files};

/// A kubeconfig for `server` (a URL) with everything embedded. It is JSON, which is YAML.
pub fn kubeconfig(server: &str, ca_pem: &str, user: &str, identity: &Identity) -> String {
    let context = format!("{user}@coracle");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "coracle", "cluster": {
            "server": server,
            "certificate-authority-data": BASE64_STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": BASE64_STANDARD.encode(&identity.certificate_pem),
            "client-key-data": BASE64_STANDARD.encode(&identity.key_pem),
        }}],
        "contexts": [{"name": context, "context": {"cluster": "coracle", "user": user, "namespace": "default"}}],
        "current-context": context,
        "preferences": {},
    });
    serde_json::to_string_pretty(&config).expect("a JSON value always serialises") + "\n"
}

/// Writes [`kubeconfig`] to `path`, mode 0600.
pub fn write_kubeconfig(path: &Path, server: &str, ca_pem: &str, user: &str, identity: &Identity) -> Result<(), Error> {
    files::write_private(path, kubeconfig(server, ca_pem, user, identity).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_holds_the_server_the_authority_and_the_identity() {
        let identity = Identity { certificate_pem: "CERT".into(), key_pem: "KEY".into() };
        let text = kubeconfig("https://127.0.0.1:6443", "CA", "admin", &identity);
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        assert_eq!(config["users"][0]["user"]["client-key-data"], "S0VZ");
        assert_eq!(config["current-context"], "admin@coracle");
    }
}
