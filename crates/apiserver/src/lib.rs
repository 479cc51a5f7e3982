//! The Kubernetes API on the wire, over the store.
