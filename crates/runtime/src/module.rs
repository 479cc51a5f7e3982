//! A loaded image, ready to be instantiated any number of times, and why an image may not be loadable.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings::CommandPre as CommandPre3;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::guest::{CoreGuest, Guest};

/// How a module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// A component that exports `wasi:cli/run`: a process.
    Command,
    /// A component that exports `wasi:http/incoming-handler` or `wasi:http/handler`: a server.
    Http,
    /// A core module with a `_start` function, on wasip1: a process.
    CoreCommand,
}

/// A module that has been compiled and checked against what this node offers.
pub struct Module {
    pub(crate) digest: String,
    pub(crate) imports: Vec<String>,
    pub(crate) entry: Entry,
    /// What it is compiled to, when it is for processes of their own.
    pub(crate) code: Option<File>,
}

/// A module's way in, found and checked once.
pub(crate) enum Entry {
    Command2(CommandPre<Guest>),
    Command3(CommandPre3<Guest>),
    Http2(ProxyPre<Guest>),
    Http3(ServicePre<Guest>),
    Core(wasmtime::InstancePre<CoreGuest>),
}

impl Module {
    /// The digest under which it was loaded.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How it runs.
    pub fn kind(&self) -> ModuleKind {
        match self.entry {
            Entry::Command2(_) | Entry::Command3(_) => ModuleKind::Command,
            Entry::Http2(_) | Entry::Http3(_) => ModuleKind::Http,
            Entry::Core(_) => ModuleKind::CoreCommand,
        }
    }

    /// The interfaces that it imports, as in `wasi:cli/stdout@0.2.6`; for a core module, as in
    /// `wasi_snapshot_preview1.fd_write`.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("digest", &self.digest).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Why an image cannot run here, in words for the person who pushed it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("not a WebAssembly module{}", .looks_like.map(|what| format!(": it looks like {what}")).unwrap_or_default())]
    NotWasm { looks_like: Option<&'static str> },
    #[error("truncated at byte {at}: {missing} more bytes were announced")]
    Truncated { at: usize, missing: usize },
    #[error("not a valid WebAssembly module: {cause}")]
    Invalid { cause: String },
    #[error("imports {}, which this node does not offer", .names.join(", "))]
    UnknownImport { names: Vec<String> },
    #[error("{cause}")]
    NoEntry { cause: &'static str },
    #[error("compile: {cause}")]
    TooMuch { cause: String },
    #[error("compile: it takes longer than {} s", .time_max.as_secs())]
    CompileTimeout { time_max: Duration },
    #[error("compile: the compiler needs more than {} MiB of memory for it", .memory_max >> 20)]
    CompileOutOfMemory { memory_max: u64 },
    #[error("read the image: {0}")]
    Read(Arc<std::io::Error>),
    #[error("compile: {cause}")]
    Internal { cause: String },
}
