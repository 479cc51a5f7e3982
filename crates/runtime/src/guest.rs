//! What a store holds for its guest, and how it is made from the container's specification.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::filesystem::{WasiFilesystemCtxView, WasiFilesystemView as _};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::container::{StdStream, Stdin};
use crate::http::Outgoing;
use crate::limits::Limiter;
use crate::meter;
use crate::sandbox::Sandbox;
use crate::stdio::{Piped, Silent, Writer};

/// Handles that one instance may hold of the host's: files, sockets, streams, what it waits for.
const RESOURCES_MAX: usize = 1 << 15;

/// The state of one component instance.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) sandbox: Arc<Sandbox>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    limiter: Limiter,
}

/// The state of one core module instance.
pub(crate) struct CoreGuest {
    pub(crate) wasi: WasiP1Ctx,
    limiter: Limiter,
}

impl Guest {
    pub(crate) fn store(sandbox: &Arc<Sandbox>) -> wasmtime::Result<Store<Self>> {
        sandbox.mounts.check(&sandbox.spec.mounts, sandbox.spec.furnish.as_ref())?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let guest = Self {
            table,
            sandbox: Arc::clone(sandbox),
            wasi: wasi(sandbox).build(),
            http: WasiHttpCtx::new(),
            outgoing: Outgoing::new(sandbox),
            limiter: Limiter::new(&sandbox.memory),
        };
        let mut store = Store::new(&sandbox.engine.wasm, guest);
        store.limiter(|guest| &mut guest.limiter);
        yield_at_every_tick(&mut store);
        Ok(store)
    }

    /// Its files, together with the directories that it is given.
    pub(crate) fn with_mounts(&mut self) -> WasiFilesystemCtxView<'_> {
        let spec = &self.sandbox.spec;
        match self.sandbox.mounts.open(&spec.mounts, spec.furnish.as_ref()) {
            Ok(mounts) => *self.wasi.filesystem() = mounts,
            // It must not take what it cannot have for empty.
            Err(error) => self.sandbox.fail(format!("{error:#}")),
        }
        self.filesystem()
    }
}

impl CoreGuest {
    pub(crate) fn store(sandbox: &Arc<Sandbox>) -> wasmtime::Result<Store<Self>> {
        let mut guest = Self { wasi: wasi(sandbox).build_p1(), limiter: Limiter::new(&sandbox.memory) };
        let wasi = guest.wasi.ctx();
        wasi.table.set_max_capacity(RESOURCES_MAX);
        // A core module asks for them at its first call.
        *wasi.ctx.filesystem() = sandbox.mounts.open(&sandbox.spec.mounts, sandbox.spec.furnish.as_ref())?;
        let mut store = Store::new(&sandbox.engine.wasm, guest);
        store.limiter(|guest| &mut guest.limiter);
        yield_at_every_tick(&mut store);
        Ok(store)
    }
}

pub(crate) fn yield_at_every_tick<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| {
        meter::note_interrupted();
        Ok(UpdateDeadline::Yield(1))
    });
}

fn wasi(sandbox: &Sandbox) -> WasiCtxBuilder {
    let spec = &sandbox.spec;
    let mut wasi = WasiCtx::builder();
    wasi.args(&spec.args).envs(&spec.env);
    if let Some(dir) = &spec.working_dir {
        wasi.initial_cwd(dir);
    }
    match &spec.stdin {
        Stdin::Empty => {}
        Stdin::Open => {
            wasi.stdin(Silent::until(&sandbox.terminate));
        }
        Stdin::Pipe(pipe) => {
            wasi.stdin(Piped::new(pipe, spec.terminal));
        }
    }
    wasi.stdout(Writer::new(&spec.output, StdStream::Stdout, spec.terminal));
    wasi.stderr(Writer::new(&spec.output, StdStream::Stderr, spec.terminal));
    wasi
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}
