//! Runs WebAssembly containers on wasmtime, and reports how they ended.

pub mod network;
