//! What can go wrong on the road to the API, and questions about an answer. It never retries.

use kube::core::Status;

/// A failure to reach the API, or to set out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read kubeconfig {path}")]
    Kubeconfig { path: String, source: kube::config::KubeconfigError },
    #[error("make a client from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    #[error("build a request for {uri}")]
    Request { uri: String, source: http::Error },
    #[error("request {uri}")]
    Send { uri: String, source: Box<kube::Error> },
    #[error("renew lease {lease}")]
    Lease { lease: crate::Key, source: Box<kube::Error> },
}

fn has_reason(error: &kube::Error, code: u16, reason: &str) -> bool {
    matches!(error, kube::Error::Api(status) if is(status, code, reason))
}

fn is(status: &Status, code: u16, reason: &str) -> bool {
    status.code == code && (reason.is_empty() || status.reason == reason)
}

/// The object, or something on the way to it, does not exist.
pub fn is_not_found(error: &kube::Error) -> bool {
    has_reason(error, 404, "")
}

/// Somebody else changed the object first.
pub fn is_conflict(error: &kube::Error) -> bool {
    has_reason(error, 409, "Conflict")
}

/// An object of this name is there already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    has_reason(error, 409, "AlreadyExists")
}

/// The asked revision is too old: list again.
pub fn is_gone(error: &kube::Error) -> bool {
    has_reason(error, 410, "")
}
