//! OCI images: references, push, pull, a content store and the registry protocol.
//!
//! A workload travels as an OCI artifact in the layout that the CNCF's wasm working group gave it: a manifest, a config of
//! type `application/vnd.wasm.config.v0+json`, and one layer of type `application/wasm`.
//!
//! - [`Reference`] is an image's name. One without a registry means this cluster's own, never a public one.
//! - [`ContentStore`] keeps bytes under their digest.
//! - [`Registry`] is the server side of the distribution protocol under `/v2/`, a plain asynchronous function from
//!   request to response. Who may call it is decided before.
//! - [`push`], [`resolve`], [`fetch`] and [`pull`] are the client side, over any [`Transport`].
//!
//! # Promises
//! - Bytes are under a digest only if they have it: on the way in, on the way out of a registry, and after a crash.
//! - What was acknowledged is durable: blobs, manifests and tags are synced before the answer.
//! - No request holds more in memory than a manifest ([`Limits::manifest_bytes_max`]) or a write's buffer, however large
//!   its body is.
//!
//! Only sha256 digests are known. Nothing is ever fetched from elsewhere on behalf of a client.

mod content;
mod digest;
mod durable;
mod error;
mod manifest;
mod pull;
mod push;
mod reference;
mod registry;
mod transport;
mod wasm;

#[cfg(test)]
mod tests;

pub use content::{Blob, ContentStore, Writer};
pub use digest::{Digest, Hasher};
pub use error::Error;
pub use manifest::{Descriptor, Manifest, Platform};
pub use pull::{Image, fetch, pull, resolve};
pub use push::{Pushed, push};
pub use reference::Reference;
pub use registry::{Limits, Registry};
pub use transport::{Body, BoxError, Transport};
