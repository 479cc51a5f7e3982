//! What a guest's memories, globals and stack were when it failed, in WebAssembly's own core dump format.

use bytes::Bytes;
use tracing::debug;
use wasmtime::{Store, WasmCoreDump};
use wasmtime_wasi::I32Exit;

/// Linear memory of a guest beyond which none of it is kept.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Makes the dump of a guest that ended with `error`, away from the threads that serve guests: it may take a while.
///
/// There is none of a guest that chose to exit, nor of one that held too much memory.
pub(crate) async fn of<T: Send + 'static>(
    error: wasmtime::Error,
    store: Store<T>,
    name: &str,
) -> (wasmtime::Error, Option<Bytes>) {
    if error.is::<I32Exit>() || !error.is::<WasmCoreDump>() {
        return (error, None);
    }
    let name = name.to_owned();
    let make = move || {
        let dump = make(&error, store, &name);
        (error, dump)
    };
    match tokio::task::spawn_blocking(make).await {
        Ok(made) => made,
        Err(failed) => (wasmtime::Error::msg(format!("make the core dump: {failed}")), None),
    }
}

fn make<T: 'static>(error: &wasmtime::Error, mut store: Store<T>, name: &str) -> Option<Bytes> {
    let dump = error.downcast_ref::<WasmCoreDump>()?;
    let n_bytes: usize = dump.memories().iter().map(|memory| memory.data_size(&store)).sum();
    if n_bytes > MEMORY_BYTES_MAX {
        debug!(container = name, n_bytes, "no core dump is kept of so much memory");
        return None;
    }
    Some(dump.serialize(&mut store, name).into())
}
