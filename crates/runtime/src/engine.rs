//! The wasm engine as this node sets it: what guests may use, how instances are pooled, how often they yield.

use std::sync::OnceLock;

use tokio::task::{JoinError, spawn_blocking};
use tracing::warn;
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::heavy::Heavy;
use crate::http::Tls;
use crate::runtime::{Config, Error};
use crate::ticker::Ticker;

/// Address space per linear memory: with all of 4 GiB reserved, compiled code needs no bounds checks.
const MEMORY_RESERVATION: u64 = 1 << 32;
const MEMORY_GUARD: u64 = 32 << 20;
/// Of each memory, table and stack, what stays mapped for the next instance in its slot.
const MEMORY_KEEP_RESIDENT: usize = 512 << 10;
const TABLE_KEEP_RESIDENT: usize = 16 << 10;
const STACK_KEEP_RESIDENT: usize = 16 << 10;
const TABLE_ELEMENTS_MAX: usize = 100_000;
pub(crate) const STACK_SIZE: usize = 2 << 20;
const WASM_STACK_MAX: usize = 1 << 20;
/// Core modules of one component, as a multiple of its instances: a command built by Rust or C has three.
const CORE_INSTANCES_PER_INSTANCE: u32 = 4;
/// Slots without an instance that keep their memory for the next one.
const WARM_SLOTS_MAX: u32 = 64;

/// The engine, and the threads that belong to it.
pub(crate) struct Engine {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) ticker: Ticker,
    /// Guests yield at every tick. Where they do not, whoever runs them must be able to do without their threads.
    pub(crate) interrupts: bool,
    pub(crate) tls: Tls,
    heavy: OnceLock<Heavy>,
}

impl Engine {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let wasm = match wasmtime::Engine::new(&pooled(config.instances_max)) {
            Ok(engine) => engine,
            Err(error) => {
                warn!(%error, "could not reserve the instance pool, instances are allocated one by one");
                wasmtime::Engine::new(&base()).map_err(|error| Error::Engine(format!("{error:#}")))?
            }
        };
        let ticker = Ticker::new(wasm.clone());
        let tls = Tls::new(config.authorities_pem.clone());
        Ok(Self { wasm, ticker, interrupts: true, tls, heavy: OnceLock::new() })
    }

    /// An engine whose guests are never interrupted, for a process that runs one container.
    pub(crate) fn uninterrupted(authorities_pem: &str) -> Result<Self, Error> {
        let wasm = compiling(false).map_err(|error| Error::Engine(format!("{error:#}")))?;
        let (ticker, tls) = (Ticker::new(wasm.clone()), Tls::new(authorities_pem.to_owned()));
        Ok(Self { wasm, ticker, interrupts: false, tls, heavy: OnceLock::new() })
    }

    /// Does `work` of the host's that takes long, where it is in nobody's way.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if self.interrupts { self.heavy().spawn(async { work() }).await } else { spawn_blocking(work).await }
    }

    /// The threads for guests that compute without pause, made when the first of them shows up.
    pub(crate) fn heavy(&self) -> &Heavy {
        self.heavy.get_or_init(Heavy::new)
    }
}

/// An engine for compiling: what it makes fits all others that interrupt, or do not.
pub(crate) fn compiling(interrupts: bool) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = base();
    config.epoch_interruption(interrupts);
    wasmtime::Engine::new(&config)
}

/// What every engine of ours has in common. Compiled code in the cache depends on it.
fn base() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model_async(true);
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.coredump_on_trap(true);
    config.memory_reservation(MEMORY_RESERVATION);
    config.memory_guard_size(MEMORY_GUARD);
    config.async_stack_size(STACK_SIZE);
    config.max_wasm_stack(WASM_STACK_MAX);
    config
}

fn pooled(instances_max: u32) -> wasmtime::Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max);
    pool.total_core_instances(instances_max.saturating_mul(CORE_INSTANCES_PER_INSTANCE));
    pool.total_memories(instances_max);
    pool.total_tables(instances_max.saturating_mul(CORE_INSTANCES_PER_INSTANCE));
    pool.total_stacks(instances_max);
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.max_unused_warm_slots(WARM_SLOTS_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEEP_RESIDENT);
    pool.table_keep_resident(TABLE_KEEP_RESIDENT);
    pool.async_stack_keep_resident(STACK_KEEP_RESIDENT);
    pool.pagemap_scan(Enabled::Auto);
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    fn fingerprint(engine: &wasmtime::Engine) -> u64 {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn what_a_compiling_engine_makes_fits_the_one_that_runs_it() {
        let running = Engine::new(&Config::new("unused")).unwrap();
        assert_eq!(fingerprint(&running.wasm), fingerprint(&compiling(true).unwrap()));
        let uninterrupted = Engine::uninterrupted("").unwrap();
        assert_eq!(fingerprint(&uninterrupted.wasm), fingerprint(&compiling(false).unwrap()));
        assert_ne!(fingerprint(&uninterrupted.wasm), fingerprint(&running.wasm));
    }
}
