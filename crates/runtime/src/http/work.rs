//! A guest at work on one request, and the time that it has for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use wasmtime::PoolConcurrencyLimitError;

use crate::container::{Exit, StdStream};
use crate::http::instance::{Answer, Instance};
use crate::http::refusal::Failure;
use crate::http::request_id::RequestId;
use crate::http::server::Server;
use crate::limits::{Held, MemoryExceeded};
use crate::meter::Metered;
use crate::sandbox::Sandbox;
use crate::trap;

/// What the host holds for a request while an instance is at work on it, as far as it counts against its container's
/// memory: what of both bodies is on its way.
pub(crate) const REQUEST_BYTES: u64 = 64 << 10;

/// A guest at work on a request. Let go before it has ended, it goes on among the container's tasks.
pub(crate) struct Work {
    server: Arc<Server>,
    call: Option<Metered<wasmtime::Result<()>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// What the client called its request, until it is known that the request needs an id.
    sent_id: Option<HeaderValue>,
    failed: Option<(Failure, RequestId)>,
}

impl Work {
    /// Begins with `request`, whose answer comes through the receiver.
    pub(crate) fn begin(
        server: &Arc<Server>,
        request: Request<Incoming>,
        place: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let sent_id = RequestId::sent(request.headers());
        let call = server.sandbox.metered(call(Arc::clone(server), request, sender, place));
        let work = Self { server: Arc::clone(server), call: Some(call), deadline: None, sent_id, failed: None };
        (work, receiver)
    }

    /// Goes on, until the guest has returned, failed or run out of time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(call) = &mut self.call else { return Poll::Ready(()) };
        if let Poll::Ready(ended) = Pin::new(call).poll(cx) {
            self.call = None;
            if let Err(error) = ended {
                self.fail(failure_of(&error), &words_for(&error));
            }
            return Poll::Ready(());
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.give_up();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Gives the guest so much time from now on, or all of it.
    pub(crate) fn set_deadline(&mut self, time: Option<Duration>) {
        self.deadline = time.map(|time| Box::pin(sleep(time)));
    }

    pub(crate) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.server.sandbox
    }

    /// Why it failed, if it has.
    pub(crate) fn failed(&self) -> Option<&(Failure, RequestId)> {
        self.failed.as_ref()
    }

    /// Ends the guest, whose time is over.
    pub(crate) fn give_up(&mut self) {
        self.call = None;
        self.fail(Failure::Overdue, "it took longer than its time limit\n");
    }

    /// Ends the guest, for whose work nobody waits.
    pub(crate) fn abandon(&mut self) {
        self.call = None;
    }

    /// Ends the guest, for whose answer there is no memory.
    pub(crate) fn refuse(&mut self, exceeded: MemoryExceeded) {
        self.call = None;
        self.fail(Failure::Crowded, &format!("{exceeded}\n"));
    }

    /// Ends the work with a failure, and tells the container's error output.
    pub(crate) fn fail(&mut self, failure: Failure, words: &str) {
        let id = RequestId::new(self.sent_id.take());
        let sandbox = &self.server.sandbox;
        sandbox.requests.fault(failure.fault());
        if failure == Failure::Crowded {
            // What is kept for later must not be in the way of what is asked for now.
            self.server.pool.clear();
        }
        let text = format!("request {id} failed: {words}");
        sandbox.spec.output.write(StdStream::Stderr, text.into());
        self.failed = Some((failure, id));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let (server, sent_id) = (Arc::clone(&self.server), self.sent_id.take());
        self.server.sandbox.tasks.spawn(async move {
            // Made here: where the tasks have ended, what is not begun must not be let go once more.
            let mut rest = Self { server, call: Some(call), deadline: None, sent_id, failed: None };
            rest.set_deadline(rest.server.sandbox.spec.request_time_max);
            std::future::poll_fn(|cx| rest.poll(cx)).await;
        });
    }
}

/// Has an instance answer `request`, and keeps it for another one if all went well.
async fn call(
    server: Arc<Server>,
    request: Request<Incoming>,
    sender: oneshot::Sender<Answer>,
    place: OwnedSemaphorePermit,
) -> wasmtime::Result<()> {
    let _held = Held::new(&server.sandbox.memory, REQUEST_BYTES)?;
    let in_flight = server.sandbox.requests.begin();
    let mut instance = match server.pool.take() {
        Some(kept) => kept,
        None => Instance::new(&server.sandbox).await?,
    };
    if let Err(error) = instance.call(request, sender).await {
        // Who was in the way of others only made room.
        if failure_of(&error) == Failure::Crowded {
            return Err(error);
        }
        let (error, _store) = instance.examined(error, &server.sandbox).await;
        return Err(error);
    }
    server.pool.keep(instance);
    drop((place, in_flight));
    Ok(())
}

fn failure_of(error: &wasmtime::Error) -> Failure {
    let is_crowded = error.downcast_ref::<MemoryExceeded>().is_some_and(|exceeded| exceeded.by_others)
        || error.is::<PoolConcurrencyLimitError>();
    if is_crowded { Failure::Crowded } else { Failure::Guest }
}

/// Why a guest failed, with its backtrace.
pub(crate) fn words_for(error: &wasmtime::Error) -> String {
    match trap::exit_of(error) {
        Exit::Trap { message, backtrace, .. } => format!("{message}\n{backtrace}"),
        Exit::OutOfMemory { limit } => format!("memory limit of {limit} bytes exceeded\n"),
        Exit::Code(code) => format!("the handler exited with code {code}\n"),
        Exit::Killed | Exit::Lost { .. } => "it was killed\n".into(),
    }
}
