//! One instance of an HTTP component, and the calls of its handler, one after the other.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use futures::channel::oneshot;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wasmtime::{AsContextMut, Result, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p2::bindings::Proxy as Proxy2;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use crate::guest::{Guest, yield_at_every_tick};
use crate::http::target::absolute;
use crate::module::Entry;
use crate::sandbox::Sandbox;

/// What a guest answers.
pub(crate) type Answer = Result<http::Response<WasiBody>>;

pub(crate) struct Instance {
    store: Store<Guest>,
    proxy: Proxy,
    n_requests: u32,
}

impl Instance {
    pub(crate) async fn new(sandbox: &Arc<Sandbox>) -> Result<Self> {
        let mut store = Guest::store(sandbox)?;
        let proxy = match &sandbox.module.entry {
            Entry::Http2(proxy) => Proxy::P2(proxy.instantiate_async(&mut store).await?),
            Entry::Http3(service) => Proxy::P3(service.instantiate_async(&mut store).await?),
            Entry::Command2(_) | Entry::Command3(_) | Entry::Core(_) => unreachable!("processes are not called"),
        };
        Ok(Self { store, proxy, n_requests: 0 })
    }

    /// Keeps what it was like when it failed with `error`.
    pub(crate) async fn examined(
        self,
        error: wasmtime::Error,
        sandbox: &Sandbox,
    ) -> (wasmtime::Error, Option<Store<Guest>>) {
        sandbox.memory.note_last();
        sandbox.cores.examine(&sandbox.engine, error, self.store, &sandbox.spec.name).await
    }

    /// How many requests it has been given.
    pub(crate) fn n_requests(&self) -> u32 {
        self.n_requests
    }

    /// Handles `request`, and goes on until the guest has nothing left to do. The answer comes through `sender`.
    /// After an error, the instance is good for nothing.
    pub(crate) async fn call(&mut self, request: Request<Incoming>, sender: oneshot::Sender<Answer>) -> Result<()> {
        self.n_requests += 1;
        if self.n_requests > 1 {
            // The deadline passed while it was idle.
            yield_at_every_tick(&mut self.store);
        }
        match &self.proxy {
            Proxy::P2(proxy) => call_2(&mut self.store, proxy, request, sender).await,
            Proxy::P3(_) => call_3(&mut self.store, &self.proxy, request, sender).await,
        }
    }
}

async fn call_2(
    store: &mut Store<Guest>,
    proxy: &Proxy2,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
) -> Result<()> {
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let answer = http.new_response_outparam_from_callback(move |answer| {
        // Nobody listens when the client has gone or the time is over.
        let _ = sender.send(answer.map_err(wasmtime::Error::from));
    })?;
    proxy.wasi_http_incoming_handler().call_handle(store, request, answer).await
}

async fn call_3(
    store: &mut Store<Guest>,
    proxy: &Proxy,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
) -> Result<()> {
    let request = absolute(request).map(|body: Incoming| -> WasiBody { body.map_err(Error::from).boxed_unsync() });
    store
        .run_concurrent(async |accessor| {
            let prepared = accessor
                .with(|mut access| Prepared::new(access.as_context_mut(), proxy, request, Guest::http, sender))?;
            prepared.run(accessor, pending()).await?;
            // The guest may still be writing its answer's body.
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}
