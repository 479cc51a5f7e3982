//! The cluster's certificate authority and everything it vouches for: the server's certificate, client certificates,
//! TLS settings, and the signed tokens of service accounts.
//!
//! One authority (ECDSA P-256) is made at the first start and kept in a directory with files of mode 0600; it survives
//! restarts. Client certificates carry a user in their common name and its groups in their organisations, as in
//! Kubernetes. The server's certificate lives in memory only: it is issued at start, and again when it nears its end.
//!
//! **Invariant:** a private key is only ever written by [`files`], atomically and unreadable to others.

mod authority;
mod files;
mod join_token;
mod kubeconfig;
mod own_key;
mod peers;
mod pin;
mod request;
mod secret;
mod server;
mod subject;
mod tls;
pub mod tokens;

use std::path::{Path, PathBuf};

pub use authority::{Identity, Pki};
pub use files::write_private;
pub use join_token::JoinToken;
pub use kubeconfig::{kubeconfig, write_kubeconfig};
pub use own_key::{SigningRequest, renewal_due_in, signing_request, validity};
pub use peers::{Renewable, peer_configs};
pub use pin::{Pin, key_hash};
pub use request::Request;
pub use secret::secret;
pub use subject::{Subject, subject};

/// What can go wrong while making, reading or using keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path} is missing while {present} is there")]
    HalfMissing { path: PathBuf, present: PathBuf },
    #[error("issue a certificate for {subject}")]
    Issue { subject: String, source: rcgen::Error },
    #[error("understand the key or certificate in {path}")]
    Malformed { path: PathBuf, source: rcgen::Error },
    #[error("understand a certificate signing request")]
    Request { source: rcgen::Error },
    #[error("a certificate cannot name {n} organizations")]
    Organizations { n: usize },
    #[error("understand a certificate: {cause}")]
    Certificate { cause: String },
    #[error("build TLS settings: {cause}")]
    Tls { cause: String },
    #[error("use the token signing key: {cause}")]
    TokenKey { cause: String },
}

impl Error {
    fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    fn tls(cause: impl std::fmt::Display) -> Self {
        Self::Tls { cause: cause.to_string() }
    }
}
