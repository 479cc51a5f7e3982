//! Runs a module that is a process: once, until it returns.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings::CommandPre as CommandPre3;

use crate::container::Exit;
use crate::guest::{CoreGuest, Guest};
use crate::module::{Entry, Module};
use crate::sandbox::Sandbox;
use crate::trap;

/// Runs `module` to its end.
pub(crate) async fn run(sandbox: Arc<Sandbox>, module: Arc<Module>) -> Exit {
    let ended = match &module.entry {
        Entry::Command2(command) => run_2(&sandbox, command).await,
        Entry::Command3(command) => run_3(&sandbox, command).await,
        Entry::Core(core) => run_core(&sandbox, core).await,
        Entry::Http2(_) | Entry::Http3(_) => unreachable!("servers are not run as processes"),
    };
    match ended {
        Ok(code) => Exit::Code(code),
        Err(error) => trap::exit_of(&error),
    }
}

/// `wasi:cli/run` says only whether all went well.
fn code(result: Result<(), ()>) -> i32 {
    if result.is_ok() { 0 } else { 1 }
}

async fn run_2(sandbox: &Arc<Sandbox>, command: &CommandPre<Guest>) -> wasmtime::Result<i32> {
    let mut store = Guest::store(sandbox)?;
    let ended = async {
        let command = command.instantiate_async(&mut store).await?;
        command.wasi_cli_run().call_run(&mut store).await
    };
    let ended = ended.await;
    Ok(code(examined(sandbox, store, ended).await?))
}

async fn run_3(sandbox: &Arc<Sandbox>, command: &CommandPre3<Guest>) -> wasmtime::Result<i32> {
    let mut store = Guest::store(sandbox)?;
    let ended = async {
        let command = command.instantiate_async(&mut store).await?;
        store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await?
    };
    let ended = ended.await;
    Ok(code(examined(sandbox, store, ended).await?))
}

async fn run_core(sandbox: &Arc<Sandbox>, core: &wasmtime::InstancePre<CoreGuest>) -> wasmtime::Result<i32> {
    let mut store: Store<CoreGuest> = CoreGuest::store(sandbox)?;
    let ended = async {
        let instance = core.instantiate_async(&mut store).await?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        start.call_async(&mut store, ()).await
    };
    let ended = ended.await;
    examined(sandbox, store, ended).await?;
    Ok(0)
}

/// Keeps of a guest that failed how it was then, before its store is let go.
async fn examined<R, T: Send + 'static>(
    sandbox: &Arc<Sandbox>,
    store: Store<T>,
    ended: wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    let Err(error) = ended else { return ended };
    sandbox.memory.note_last();
    let (error, _store) = sandbox.cores.examine(&sandbox.engine, error, store, &sandbox.spec.name).await;
    Err(error)
}
