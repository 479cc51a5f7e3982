//! Maps compiled code from disk into memory. Unsafe, because wasmtime trusts that what it maps is what
//! it once produced, and the cache has made sure of it.
#![expect(unsafe_code, reason = "wasmtime cannot check compiled code, so it makes loading it unsafe")]

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

/// Compiled code of either kind.
pub(crate) enum Compiled {
    Core(Module),
    Component(Component),
}

/// Maps `path`, whose bytes the cache has verified to be those that it wrote for this engine.
pub(crate) fn map(engine: &Engine, path: &Path) -> wasmtime::Result<Compiled> {
    match Engine::detect_precompiled_file(path)? {
        // SAFETY: the file's name is the hash of its content, which was verified a moment ago; it was written by
        // `precompile_module`, here or in a process of ours, under a directory named after this engine's fingerprint, and is
        // never written again.
        Some(Precompiled::Module) => Ok(Compiled::Core(unsafe { Module::deserialize_file(engine, path) }?)),
        // SAFETY: as above, for `precompile_component`.
        Some(Precompiled::Component) => Ok(Compiled::Component(unsafe { Component::deserialize_file(engine, path) }?)),
        None => Err(wasmtime::Error::msg("no compiled code")),
    }
}
