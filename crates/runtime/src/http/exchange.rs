//! One request and its answer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::channel::oneshot;
use http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::body::{Body, Source};
use crate::http::instance::Answer;
use crate::http::refusal::{self, Failure};
use crate::http::request_id::RequestId;
use crate::http::server::Server;
use crate::http::work::{Work, words_for};
use crate::limits::Held;

/// A body that the guest has ready up to this length is sent whole, with its length.
const READ_AHEAD_MAX: usize = 64 << 10;

/// Answers `request` with what an instance says.
pub(crate) async fn answer(server: &Arc<Server>, request: Request<Incoming>) -> Response<Body> {
    let arrived = Instant::now();
    let response = match refusal::of(&request) {
        Some(refused) => refused,
        None => respond(server, request, arrived).await,
    };
    server.sandbox.requests.answered(response.status(), arrived.elapsed());
    response
}

async fn respond(server: &Arc<Server>, request: Request<Incoming>, arrived: Instant) -> Response<Body> {
    let sandbox = &server.sandbox;
    let Ok(place) = server.admission.admit(&sandbox.requests).await else {
        sandbox.requests.fault(Failure::Crowded.fault());
        return Failure::Crowded.response(&RequestId::new(RequestId::sent(request.headers())));
    };
    sandbox.n_requests.fetch_add(1, Ordering::Relaxed);
    let (mut work, mut receiver) = Work::begin(server, request, place);
    work.set_deadline(sandbox.spec.request_time_max.map(|time| time.saturating_sub(arrived.elapsed())));
    let answer = poll_fn(|cx| poll_answer(&mut work, &mut receiver, cx)).await;
    if let Some((failure, id)) = work.failed() {
        return failure.response(id);
    }
    match answer {
        Some(Ok(response)) => send(response, work).await,
        Some(Err(error)) => failed(work, &words_for(&error)),
        None => failed(work, "the handler returned without an answer\n"),
    }
}

fn failed(mut work: Work, words: &str) -> Response<Body> {
    work.fail(Failure::Guest, words);
    let (failure, id) = work.failed().expect("it has just failed");
    failure.response(id)
}

/// The answer's head, or nothing when the guest has ended without one.
fn poll_answer(
    work: &mut Work,
    receiver: &mut oneshot::Receiver<Answer>,
    cx: &mut Context<'_>,
) -> Poll<Option<Answer>> {
    let ended = work.poll(cx);
    if work.failed().is_some() {
        return Poll::Ready(None);
    }
    match Pin::new(receiver).poll(cx) {
        Poll::Ready(Ok(answer)) => Poll::Ready(Some(answer)),
        // It may return without an answer.
        Poll::Ready(Err(_)) | Poll::Pending => ended.map(|()| None),
    }
}

/// Sends what is there at once, and goes on with the guest for what is not.
async fn send(response: Response<WasiBody>, mut work: Work) -> Response<Body> {
    let (parts, rest) = response.into_parts();
    work.set_deadline(None);
    let mut source = Source { ready: VecDeque::new(), rest, work };
    let is_whole = poll_fn(|cx| Poll::Ready(source.read_ahead(cx, READ_AHEAD_MAX))).await;
    if let Some((failure, id)) = source.work.failed() {
        return failure.response(id);
    }
    if !is_whole {
        return Response::from_parts(parts, source.pumped());
    }
    match Held::bytes(&source.work.sandbox().memory, concatenated(source.ready.drain(..))) {
        Ok(body) => Response::from_parts(parts, Body::Whole(body)),
        Err(exceeded) => {
            source.work.refuse(exceeded);
            let (failure, id) = source.work.failed().expect("it has just been refused");
            failure.response(id)
        }
    }
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
