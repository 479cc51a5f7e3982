//! OCI images: references, push, pull, a content store and the registry protocol.
