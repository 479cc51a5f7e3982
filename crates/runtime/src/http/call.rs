//! One call of a guest's handler, in an instance made for it.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use futures::channel::oneshot;
use http::uri::{self, Authority};
use http::{Request, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{AsContextMut, Result};
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use crate::guest::Guest;
use crate::http::server::Server;
use crate::module::Entry;
use crate::sandbox::Sandbox;

/// What a guest answers.
pub(crate) type Answer = Result<http::Response<WasiBody>>;

/// Handles `request`, and goes on until the guest has nothing left to do. The answer comes through `sender`.
pub(crate) async fn run(
    server: Arc<Server>,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
    permit: OwnedSemaphorePermit,
) -> Result<()> {
    let called = match &server.module.entry {
        Entry::Http2(proxy) => call_2(&server.sandbox, proxy, request, sender).await,
        Entry::Http3(service) => call_3(&server.sandbox, service, request, sender).await,
        Entry::Command2(_) | Entry::Command3(_) | Entry::Core(_) => unreachable!("processes are not called"),
    };
    drop(permit);
    called
}

async fn call_2(
    sandbox: &Arc<Sandbox>,
    proxy: &ProxyPre<Guest>,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
) -> Result<()> {
    let mut store = Guest::store(sandbox)?;
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let answer = http.new_response_outparam_from_callback(move |answer| {
        // Nobody listens when the client has gone or the time is over.
        let _ = sender.send(answer.map_err(wasmtime::Error::from));
    })?;
    let proxy = proxy.instantiate_async(&mut store).await?;
    proxy.wasi_http_incoming_handler().call_handle(&mut store, request, answer).await
}

async fn call_3(
    sandbox: &Arc<Sandbox>,
    service: &ServicePre<Guest>,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
) -> Result<()> {
    let mut store = Guest::store(sandbox)?;
    let proxy = Proxy::P3(service.instantiate_async(&mut store).await?);
    let request = absolute(request).map(|body: Incoming| -> WasiBody { body.map_err(Error::from).boxed_unsync() });
    store
        .run_concurrent(async |accessor| {
            let prepared = accessor
                .with(|mut access| Prepared::new(access.as_context_mut(), &proxy, request, Guest::http, sender))?;
            prepared.run(accessor, pending()).await?;
            // The guest may still be writing its answer's body.
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}

/// A request of 0.3 knows its scheme and authority by its target alone, which HTTP/1.1 sends without them.
fn absolute<B>(mut request: Request<B>) -> Request<B> {
    let mut target = request.uri().clone().into_parts();
    let host = request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    target.scheme.get_or_insert(uri::Scheme::HTTP);
    target.authority = target.authority.or(host);
    target.path_and_query.get_or_insert(uri::PathAndQuery::from_static("/"));
    // What cannot be a target is passed on as it came.
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_scheme_and_authority_gets_both() {
        for (target, host, whole) in [
            ("/a?b", "web:8080", "http://web:8080/a?b"),
            ("http://other/a", "web", "http://other/a"),
            ("/", "not a host", "/"),
        ] {
            let request = Request::builder().uri(target).header(header::HOST, host).body(()).unwrap();
            assert_eq!(absolute(request).uri().to_string(), whole);
        }
    }
}
