//! What a guest's memories, globals and stack were when it failed, in WebAssembly's own core dump format. A container
//! keeps the last dump until somebody takes it.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;
use wasmtime::{Store, WasmCoreDump};
use wasmtime_wasi::I32Exit;

use crate::engine::Engine;
use crate::limits::MemoryExceeded;

/// Linear memory of a guest beyond which none of it is kept.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Bytes of a dump: those memories, and names.
pub(crate) const BYTES_MAX: u64 = 96 << 20;
/// How often one container leaves a dump: requests may fail one after the other.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// The dumps of one container, of which it keeps the last.
#[derive(Default)]
pub(crate) struct Cores {
    last: Mutex<Option<Bytes>>,
    made_at: Mutex<Option<Instant>>,
    left: Notify,
}

impl Cores {
    /// Keeps what a guest that ended with `error` was like, made away from the threads that serve guests: it may take a
    /// while. Guests that fail shortly after another leave nothing.
    ///
    /// There is none of a guest that chose to exit, nor of one that wanted or held too much memory. The store comes back:
    /// what it holds must not end before the failure is known.
    pub(crate) async fn examine<T: Send + 'static>(
        &self,
        engine: &Engine,
        error: wasmtime::Error,
        store: Store<T>,
        name: &str,
    ) -> (wasmtime::Error, Option<Store<T>>) {
        let is_told = error.is::<I32Exit>() || error.is::<MemoryExceeded>() || !error.is::<WasmCoreDump>();
        if is_told || !self.is_due(Instant::now(), INTERVAL) {
            return (error, Some(store));
        }
        let name = name.to_owned();
        let make = move || {
            let mut store = store;
            let dump = make(&error, &mut store, &name);
            (error, store, dump)
        };
        match engine.aside(make).await {
            Ok((error, store, dump)) => {
                dump.into_iter().for_each(|dump| self.keep(dump));
                (error, Some(store))
            }
            Err(failed) => (wasmtime::Error::msg(format!("make the core dump: {failed}")), None),
        }
    }

    /// True once in `interval`, for who makes the dump then.
    pub(crate) fn is_due(&self, now: Instant, interval: Duration) -> bool {
        let mut made_at = self.made_at.lock();
        let is_due = made_at.is_none_or(|made_at| now.saturating_duration_since(made_at) >= interval);
        if is_due {
            *made_at = Some(now);
        }
        is_due
    }

    /// Keeps `dump` in place of the one before.
    pub(crate) fn keep(&self, dump: Bytes) {
        *self.last.lock() = Some(dump);
        self.left.notify_one();
    }

    pub(crate) fn take(&self) -> Option<Bytes> {
        self.last.lock().take()
    }

    /// The next dump, once there is one. Cancel-safe.
    pub(crate) async fn next(&self) -> Bytes {
        loop {
            match self.take() {
                Some(dump) => return dump,
                None => self.left.notified().await,
            }
        }
    }
}

fn make<T: 'static>(error: &wasmtime::Error, store: &mut Store<T>, name: &str) -> Option<Bytes> {
    let dump = error.downcast_ref::<WasmCoreDump>()?;
    let n_bytes: usize = dump.memories().iter().map(|memory| memory.data_size(&*store)).sum();
    if n_bytes > MEMORY_BYTES_MAX {
        debug!(container = name, n_bytes, "no core dump is kept of so much memory");
        return None;
    }
    Some(dump.serialize(store, name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_dump_is_due_at_a_time_and_the_last_one_is_kept() {
        let (cores, start) = (Cores::default(), Instant::now());
        assert!(cores.is_due(start, INTERVAL));
        assert!(!cores.is_due(start + INTERVAL / 2, INTERVAL));
        assert!(cores.is_due(start + INTERVAL, INTERVAL));
        cores.keep("first".into());
        cores.keep("second".into());
        assert_eq!(cores.next().await, "second");
        assert_eq!(cores.take(), None);
    }
}
