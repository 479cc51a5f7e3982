//! The engine's owner: it loads modules and starts containers.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::compiler::Compiler;
use crate::container::{Container, ContainerSpec};
use crate::engine::{self, Engine};
use crate::files;
use crate::isolated::{Apart, Isolation, Launcher, Unavailable};
use crate::loader::Loader;
use crate::module::{LoadError, Module};
use crate::process::Starter;
use crate::sandbox;

/// What a runtime is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where compiled code is kept.
    pub cache_dir: PathBuf,
    /// How many instances may live at once. Address space is reserved for all of them, memory for none.
    pub instances_max: u32,
    /// How many modules are compiled at once.
    pub compilations_max: usize,
    pub compiler: Compiler,
    /// Certificates of authorities that guests' requests trust besides those that the host's owner trusts.
    pub authorities_pem: String,
    /// How containers get processes of their own.
    pub isolation: Isolation,
}

impl Config {
    /// Room for a thousand instances, compiling two modules at a time, in this process.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            instances_max: 1000,
            compilations_max: 2,
            compiler: Compiler::default(),
            authorities_pem: String::new(),
            isolation: Isolation::default(),
        }
    }
}

/// Why a runtime cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("prepare the cache directory {path}")]
    Cache { path: PathBuf, source: std::io::Error },
    #[error("prepare the wasm engine: {0}")]
    Engine(String),
}

/// Runs containers. A cheap handle: clones share one engine and one cache.
#[derive(Clone)]
pub struct Runtime {
    engine: Arc<Engine>,
    loader: Arc<Loader>,
    /// For processes of their own: code of an engine that does not interrupt.
    isolated: Arc<OnceLock<Arc<Loader>>>,
    launcher: Arc<Launcher>,
    starter: Arc<Starter>,
    config: Arc<Config>,
}

impl Runtime {
    /// Prepares the engine and the cache. Starts no thread.
    pub fn new(config: Config) -> Result<Self, Error> {
        files::raise_limit();
        let engine = Arc::new(engine::Engine::new(&config)?);
        let starter = Arc::<Starter>::default();
        let loader = Arc::new(Loader::new(&engine, &config, &starter)?);
        let authorities_pem = config.authorities_pem.clone();
        let launcher = Arc::new(Launcher::new(config.isolation.clone(), authorities_pem, &starter));
        Ok(Self { engine, loader, isolated: Arc::default(), launcher, starter, config: Arc::new(config) })
    }

    /// The module of `digest`: the one in use, the one in the cache, or compiled from what `read` brings.
    ///
    /// Many may ask for one digest at a time: one of them compiles, the others wait for it. A refusal is remembered.
    pub async fn load<F, R>(&self, digest: &str, read: F) -> Result<Arc<Module>, LoadError>
    where
        F: FnOnce() -> R,
        R: Future<Output = std::io::Result<Bytes>>,
    {
        self.loader.load(digest, read).await
    }

    /// As [`Runtime::load`], for containers that shall run in processes of their own.
    pub async fn load_isolated<F, R>(&self, digest: &str, read: F) -> Result<Arc<Module>, LoadError>
    where
        F: FnOnce() -> R,
        R: Future<Output = std::io::Result<Bytes>>,
    {
        let loader = self.isolated_loader().map_err(|error| LoadError::Internal { cause: error.to_string() })?;
        loader.load(digest, read).await
    }

    fn isolated_loader(&self) -> Result<Arc<Loader>, Error> {
        if let Some(loader) = self.isolated.get() {
            return Ok(Arc::clone(loader));
        }
        let engine = Engine::uninterrupted(&self.config.authorities_pem)?;
        let loader = Arc::new(Loader::new(&engine, &self.config, &self.starter)?);
        Ok(Arc::clone(self.isolated.get_or_init(|| loader)))
    }

    /// Why containers cannot have processes of their own here, if they cannot.
    pub fn isolates(&self) -> Result<(), Unavailable> {
        self.launcher.available()
    }

    /// How many modules were compiled since this runtime was made.
    pub fn compilations(&self) -> u64 {
        self.loader.compilations() + self.isolated.get().map_or(0, |loader| loader.compilations())
    }

    /// Starts a container, in a process of its own if its module was loaded for that. Its tasks run on the tokio runtime of
    /// the caller.
    pub fn start(&self, module: &Arc<Module>, spec: ContainerSpec) -> Container {
        match module.code {
            None => Container::new(sandbox::start(Arc::clone(&self.engine), Arc::clone(module), spec)),
            Some(_) => Container::apart(Apart::start(&self.launcher, module, spec)),
        }
    }
}
