//! What can go wrong with an image, for whoever pushes or pulls it.

use std::path::{Path, PathBuf};

use crate::{BoxError, Digest, Reference};

/// Why an image could not be named, stored, pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("invalid image reference {reference:?}: {why}")]
    Reference { reference: String, why: &'static str },
    #[error("invalid digest {digest:?}: {why}")]
    Digest { digest: String, why: &'static str },
    #[error("{step} {path}")]
    Io { step: &'static str, path: PathBuf, source: std::io::Error },
    #[error("content has digest {actual}, expected {expected}")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("{what} is larger than {bytes_max} bytes")]
    TooLarge { what: String, bytes_max: u64 },
    #[error("{what} is not in the store")]
    Missing { what: Digest },
    #[error("not a WebAssembly module or component: {found}")]
    NotWasm { found: String },
    #[error("{reference} is not a WebAssembly image: it is {found}")]
    NotWasmImage { reference: Box<Reference>, found: String },
    #[error("{reference}: not found")]
    NotFound { reference: Box<Reference> },
    /// The registry answered, and said no.
    #[error("{step}: registry answered {status}: {message}")]
    Refused { step: String, status: http::StatusCode, message: String },
    #[error("{step}: registry gave {what}")]
    Malformed { step: String, what: String },
    /// The registry could not be reached, or broke off.
    #[error("{step}")]
    Transport { step: String, source: BoxError },
}

impl Error {
    pub(crate) fn io(step: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { step, path: path.into(), source }
    }
}
