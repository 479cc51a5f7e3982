//! The node agent: pods run as wasm sandboxes.

pub mod environment;
pub mod lifecycle;
pub mod logs;
pub mod objects;
pub mod volumes;
