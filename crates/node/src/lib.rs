//! The node agent: pods run as wasm sandboxes.

pub mod lifecycle;
