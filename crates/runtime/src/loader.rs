//! From bytes to a module that can be started: inspected, compiled once, linked once, and remembered while in use.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::binary;
use crate::cache::{Cache, Unfinished};
use crate::engine::Engine;
use crate::linker::Linkers;
use crate::mapped::Compiled;
use crate::module::{LoadError, Module};
use crate::process::Starter;
use crate::runtime::{Config, Error};
use crate::workshop::{Piece, Workshop};

/// Bytes of one module. The compiler's memory grows with them.
pub(crate) const WASM_BYTES_MAX: usize = 128 << 20;
/// Digests that are remembered although nothing of them runs.
const IDLE_MAX: usize = 256;

/// Loads modules.
pub(crate) struct Loader {
    engine: wasmtime::Engine,
    linkers: Linkers,
    cache: Cache,
    slots: Mutex<HashMap<String, Arc<AsyncMutex<Slot>>>>,
    workshop: Workshop,
    n_compilations: AtomicU64,
    /// Modules are for processes of their own: they hold their compiled code open, and it does not yield.
    for_processes: bool,
}

/// What is known of one digest.
enum Slot {
    Unknown,
    Loaded(Weak<Module>),
    Refused(LoadError),
}

impl Loader {
    pub(crate) fn new(engine: &Engine, config: &Config, starter: &Arc<Starter>) -> Result<Self, Error> {
        let cache = Cache::open(&config.cache_dir, &engine.wasm)
            .map_err(|source| Error::Cache { path: config.cache_dir.clone(), source })?;
        Ok(Self {
            engine: engine.wasm.clone(),
            linkers: Linkers::new(&engine.wasm).map_err(|error| Error::Engine(format!("{error:#}")))?,
            cache,
            slots: Mutex::default(),
            workshop: Workshop::new(config.compilations_max, config.compiler.clone(), starter),
            n_compilations: AtomicU64::new(0),
            for_processes: !engine.interrupts,
        })
    }

    pub(crate) fn compilations(&self) -> u64 {
        self.n_compilations.load(Ordering::Relaxed)
    }

    pub(crate) async fn load<F, R>(self: &Arc<Self>, digest: &str, read: F) -> Result<Arc<Module>, LoadError>
    where
        F: FnOnce() -> R,
        R: Future<Output = std::io::Result<Bytes>>,
    {
        let slot = self.slot(digest);
        // Whoever comes second waits here while the first one compiles.
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Loaded(module) => {
                if let Some(module) = module.upgrade() {
                    return Ok(module);
                }
            }
            Slot::Refused(error) => return Err(error.clone()),
            Slot::Unknown => {}
        }
        let loaded = self.load_anew(digest, read).await;
        match &loaded {
            Ok(module) => *slot = Slot::Loaded(Arc::downgrade(module)),
            Err(error) if error.is_final() => *slot = Slot::Refused(error.clone()),
            Err(_) => {}
        }
        loaded
    }

    fn slot(&self, digest: &str) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(digest) {
            return Arc::clone(slot);
        }
        if slots.len() >= IDLE_MAX {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|slot| slot.is_in_use()));
        }
        let slot = Arc::new(AsyncMutex::new(Slot::Unknown));
        slots.insert(digest.to_owned(), Arc::clone(&slot));
        slot
    }

    async fn load_anew<F, R>(self: &Arc<Self>, digest: &str, read: F) -> Result<Arc<Module>, LoadError>
    where
        F: FnOnce() -> R,
        R: Future<Output = std::io::Result<Bytes>>,
    {
        let (this, key) = (Arc::clone(self), digest.to_owned());
        let cached = blocking(move || this.cached(&key)).await?;
        if let Some(module) = cached {
            return Ok(module);
        }
        let wasm = read().await.map_err(|error| LoadError::Read(Arc::new(error)))?;
        if wasm.len() > WASM_BYTES_MAX {
            let cause = format!("it has {} bytes, and {WASM_BYTES_MAX} are the most that is compiled", wasm.len());
            return Err(LoadError::TooMuch { cause });
        }
        self.compile(digest, wasm).await
    }

    fn cached(&self, digest: &str) -> Option<Arc<Module>> {
        let (compiled, path) = self.cache.get(&self.engine, digest)?;
        self.link(digest, compiled, &path).ok()
    }

    async fn compile(self: &Arc<Self>, digest: &str, wasm: Bytes) -> Result<Arc<Module>, LoadError> {
        let encoding = binary::inspect(&wasm)?;
        self.n_compilations.fetch_add(1, Ordering::Relaxed);
        let entry = self.cache.begin(digest).map_err(|error| unkept(&error))?;
        let piece = Piece { engine: self.engine.clone(), encoding, interrupts: !self.for_processes, wasm };
        self.workshop.compile(piece, entry.file()).await?;
        let (this, key) = (Arc::clone(self), digest.to_owned());
        blocking(move || this.keep(&key, entry)).await?
    }

    fn keep(&self, digest: &str, entry: Unfinished) -> Result<Arc<Module>, LoadError> {
        let (compiled, path) = entry.finish(&self.engine).map_err(|error| unkept(&error))?;
        self.link(digest, compiled, &path)
    }

    fn link(&self, digest: &str, compiled: Compiled, path: &Path) -> Result<Arc<Module>, LoadError> {
        let (entry, imports) = match compiled {
            Compiled::Core(module) => self.linkers.link_core(&module)?,
            Compiled::Component(component) => self.linkers.link_component(&component)?,
        };
        let code = self.for_processes.then(|| File::open(path)).transpose();
        let code = code.map_err(|error| LoadError::Internal { cause: format!("open the compiled code: {error}") })?;
        Ok(Arc::new(Module { digest: digest.to_owned(), imports, entry, code }))
    }
}

impl Slot {
    fn is_in_use(&self) -> bool {
        match self {
            Self::Loaded(module) => module.strong_count() > 0,
            Self::Refused(_) | Self::Unknown => false,
        }
    }
}

impl LoadError {
    /// The same bytes would be refused again.
    fn is_final(&self) -> bool {
        match self {
            Self::NotWasm { .. }
            | Self::Truncated { .. }
            | Self::Invalid { .. }
            | Self::UnknownImport { .. }
            | Self::NoEntry { .. }
            | Self::TooMuch { .. }
            | Self::CompileTimeout { .. }
            | Self::CompileOutOfMemory { .. } => true,
            Self::Read(_) | Self::Internal { .. } => false,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Internal { cause: error.to_string() })
}

fn unkept(error: &std::io::Error) -> LoadError {
    LoadError::Internal { cause: format!("keep the compiled code: {error}") }
}

pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
