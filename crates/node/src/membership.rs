//! Who is who between nodes: a certificate of the cluster's authority names a node, or the control plane.

use std::net::SocketAddr;

use coracle_net::mesh::{self, Peer};
use coracle_pki::Renewable;
use rustls::pki_types::CertificateDer;

/// The control plane among the members. No node can be called so.
pub const CONTROL_PLANE: &str = "system:control-plane";
/// Whose certificate the control plane shows to nodes: a user and a group that no certificate request is granted.
pub const CONTROL_PLANE_SUBJECT: (&str, &str) = ("kube-apiserver-kubelet-client", "system:masters");

/// What the secret of a node's mesh is derived for.
pub const MESH_PURPOSE: &str = "coracle mesh";

/// The mesh of `name`, who shows `own`.
pub fn mesh_config(
    name: &str,
    listen: SocketAddr,
    ca_pem: &str,
    own: &Renewable,
    secret: [u8; 32],
) -> Result<mesh::Config, coracle_pki::Error> {
    let (client, server) = coracle_pki::peer_configs(ca_pem, own, mesh::PROTOCOL)?;
    Ok(mesh::Config { name: name.to_owned(), listen, client, server, identify, secret })
}

/// Who shows this certificate.
fn identify(certificate: &CertificateDer<'_>) -> Option<Peer> {
    let subject = coracle_pki::subject(certificate).ok()?;
    let is_in = |group: &str| subject.organizations.iter().any(|organization| organization == group);
    let (user, group) = CONTROL_PLANE_SUBJECT;
    if subject.common_name == user && is_in(group) {
        return Some(Peer { name: CONTROL_PLANE.to_owned(), may_ask: true });
    }
    let node = subject.common_name.strip_prefix("system:node:").filter(|name| !name.is_empty())?;
    is_in("system:nodes").then(|| Peer { name: node.to_owned(), may_ask: false })
}

#[cfg(test)]
mod tests {
    use coracle_pki::Pki;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn only_nodes_and_the_control_plane_are_somebody() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let who = |user: &str, group: &str| {
            let identity = pki.issue_client(user, Some(group)).unwrap();
            identify(&CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap())
        };
        assert_eq!(who("system:node:n1", "system:nodes"), Some(Peer { name: "n1".into(), may_ask: false }));
        assert!(who(CONTROL_PLANE_SUBJECT.0, CONTROL_PLANE_SUBJECT.1).unwrap().may_ask);
        assert_eq!(who(CONTROL_PLANE_SUBJECT.0, "system:nodes"), None);
        assert_eq!(who("system:node:n1", "somebody"), None);
        assert_eq!(who("kubernetes-admin", "system:masters"), None);
    }
}
