//! What keeps a node from running at all. What keeps a pod from running is told in its status and events.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("prepare {path}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("open the image store")]
    Images(#[from] coracle_oci::Error),
    #[error("register node {node}")]
    Register { node: String, source: Box<kube::Error> },
    #[error("the pod network of node {node} was not allocated before the node was told to stop")]
    NoPodNetwork { node: String },
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
