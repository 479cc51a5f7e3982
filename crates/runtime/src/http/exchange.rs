//! One request and its answer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::channel::oneshot;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::container::{Exit, StdStream};
use crate::http::body::{Body, Streamed};
use crate::http::call::{self, Answer};
use crate::http::server::Server;
use crate::limits::MemoryExceeded;
use crate::meter::Metered;
use crate::sandbox::Sandbox;
use crate::trap;

/// A body that the guest has ready up to this length is sent whole, with its length.
const READ_AHEAD_MAX: usize = 64 << 10;

/// Answers `request` with what a fresh instance says.
pub(crate) async fn answer(server: &Arc<Server>, request: Request<Incoming>) -> Response<Body> {
    if request.uri().authority().is_none() && !request.headers().contains_key(header::HOST) {
        return plain(StatusCode::BAD_REQUEST, "the request names no host\n");
    }
    let Ok(permit) = Arc::clone(&server.permits).try_acquire_owned() else {
        return Failure::Crowded.response();
    };
    let sandbox = &server.sandbox;
    sandbox.n_requests.fetch_add(1, Ordering::Relaxed);
    let (sender, mut receiver) = oneshot::channel();
    let call = sandbox.metered(call::run(Arc::clone(server), request, sender, permit));
    let mut in_work = InWork::new(sandbox, call);
    match poll_fn(|cx| poll_answer(&mut in_work, &mut receiver, cx)).await {
        Ok(Ok(response)) => send(response, in_work).await,
        Ok(Err(error)) => {
            report(sandbox, &error);
            Failure::Guest.response()
        }
        Err(failure) => failure.response(),
    }
}

/// Why a request has no answer of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Guest,
    /// There was no room for an instance.
    Crowded,
    Overdue,
}

impl Failure {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Guest => "the guest failed\n",
            Self::Crowded => "too many requests at once\n",
            Self::Overdue => "the guest took too long\n",
        }
    }

    fn response(self) -> Response<Body> {
        let status = match self {
            Self::Guest => StatusCode::BAD_GATEWAY,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Overdue => StatusCode::GATEWAY_TIMEOUT,
        };
        plain(status, self.text())
    }
}

fn poll_answer(
    in_work: &mut InWork,
    receiver: &mut oneshot::Receiver<Answer>,
    cx: &mut Context<'_>,
) -> Poll<Result<Answer, Failure>> {
    let ended = in_work.poll(cx);
    if let Some(failure) = in_work.failure() {
        return Poll::Ready(Err(failure));
    }
    match Pin::new(receiver).poll(cx) {
        Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
        // It may return without an answer.
        Poll::Ready(Err(_)) | Poll::Pending => ended.map(|()| {
            let text = "request failed: the handler returned without an answer\n";
            in_work.sandbox.spec.output.write(StdStream::Stderr, Bytes::from_static(text.as_bytes()));
            Err(Failure::Guest)
        }),
    }
}

/// Sends what is there at once, and goes on with the guest for what is not.
async fn send(response: Response<WasiBody>, in_work: InWork) -> Response<Body> {
    let (parts, rest) = response.into_parts();
    let mut body = Streamed { ready: VecDeque::new(), rest, in_work };
    let is_whole = poll_fn(|cx| Poll::Ready(body.read_ahead(cx, READ_AHEAD_MAX))).await;
    if let Some(failure) = body.in_work.failure() {
        return failure.response();
    }
    let body = if is_whole { Body::Whole(concatenated(body.ready.drain(..))) } else { Body::Streamed(body) };
    Response::from_parts(parts, body)
}

fn concatenated(frames: impl ExactSizeIterator<Item = Result<Frame<Bytes>, Error>>) -> Bytes {
    let n_frames = frames.len();
    let mut chunks = frames.filter_map(|frame| frame.ok()?.into_data().ok());
    if n_frames <= 1 {
        return chunks.next().unwrap_or_default();
    }
    let mut whole = BytesMut::new();
    chunks.for_each(|chunk| whole.extend_from_slice(&chunk));
    whole.freeze()
}

/// Tells the container's error output why a request failed.
fn report(sandbox: &Sandbox, error: &wasmtime::Error) {
    let text = match trap::exit_of(error) {
        Exit::Trap { message, backtrace } => format!("request failed: {message}\n{backtrace}"),
        Exit::OutOfMemory { limit } => format!("request failed: memory limit of {limit} bytes exceeded\n"),
        Exit::Code(code) => format!("request failed: the handler exited with code {code}\n"),
        Exit::Killed => return,
    };
    sandbox.spec.output.write(StdStream::Stderr, text.into());
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A guest at work on a request. Let go before it has ended, it goes on among the container's tasks.
pub(crate) struct InWork {
    sandbox: Arc<Sandbox>,
    call: Option<Metered<wasmtime::Result<()>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    failure: Option<Failure>,
}

impl InWork {
    fn new(sandbox: &Arc<Sandbox>, call: Metered<wasmtime::Result<()>>) -> Self {
        Self {
            sandbox: Arc::clone(sandbox),
            call: Some(call),
            deadline: sandbox.spec.request_time_max.map(|max| Box::pin(sleep(max))),
            failure: None,
        }
    }

    /// Goes on, until the guest has returned, failed or run out of time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(call) = &mut self.call else { return Poll::Ready(()) };
        if let Poll::Ready(ended) = Pin::new(call).poll(cx) {
            self.call = None;
            if let Err(error) = ended {
                self.fail(&error);
            }
            return Poll::Ready(());
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.call = None;
            self.failure = Some(Failure::Overdue);
            let text = "request failed: it took longer than its time limit\n";
            self.sandbox.spec.output.write(StdStream::Stderr, Bytes::from_static(text.as_bytes()));
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    fn fail(&mut self, error: &wasmtime::Error) {
        let is_crowded = error.downcast_ref::<MemoryExceeded>().is_some_and(|exceeded| exceeded.by_others)
            || error.is::<PoolConcurrencyLimitError>();
        self.failure = Some(if is_crowded { Failure::Crowded } else { Failure::Guest });
        report(&self.sandbox, error);
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let (sandbox, deadline) = (Arc::clone(&self.sandbox), self.deadline.take());
        self.sandbox.tasks.spawn(async move {
            let deadline = async {
                match deadline {
                    Some(deadline) => deadline.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = call => if let Err(error) = ended { report(&sandbox, &error) },
                () = deadline => {}
            }
        });
    }
}
