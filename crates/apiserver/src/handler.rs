//! The way of every request: who asks, may they, what do they want, and the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use coracle_api::identity::User;
use coracle_api::status::Status;
use http::Method;
use http::request::Parts;
use parking_lot::Mutex;

use crate::answer::{self, Answer};
use crate::fairness::{Client, Reserved, Work};
use crate::negotiate::{Format, Wanted, accepts_gzip};
use crate::query::Query;
use crate::request_info::RequestInfo;
use crate::state::State;
use crate::{authenticate, authorize, body, deadline, images, impersonate, paths, verbs};

/// What a body takes in memory once it is decoded, as a multiple of its size.
const DECODED_FACTOR: usize = 4;

/// A request that was let in.
pub(crate) struct Call {
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) user: User,
    pub(crate) parts: Parts,
    /// Who has to answer for what this takes.
    pub(crate) client: Client,
    body: Mutex<Option<Body>>,
    /// The memory of the body.
    reserved: Mutex<Option<Reserved>>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// An answer of the API, or a response that somebody else made.
pub(crate) enum Reply {
    Answer(Answer, Wanted),
    Response(Box<Response>),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer, Wanted::JSON)
    }
}

/// Answers one request.
pub(crate) async fn handle(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
    let (verb, label) = (info.verb, label(&state, &info));
    let deprecation = deprecation(&state, &info);
    let wants_body = parts.method != Method::HEAD;
    let is_gzip = accepts_gzip(&parts.headers);
    let outcome = in_time(&state, info, query, parts, body).await;
    let mut response = match outcome {
        Ok(Reply::Answer(answer, wanted)) => answer.into_response(wanted),
        Ok(Reply::Response(response)) => *response,
        Err(status) => answer::failure(&status, Wanted::JSON),
    };
    if let Some(text) = deprecation {
        answer::warn_first(&mut response, &text);
    }
    if !wants_body {
        *response.body_mut() = Body::empty();
    }
    if is_gzip {
        response = answer::compress(response, state.config.limits.gzip_bytes_min).await;
    }
    state.metrics.observe(&label, verb, response.status().as_u16(), started.elapsed());
    response
}

/// Serves within the time that there is. A watch only has to begin in it; its `timeout` is none of ours. An image has
/// other bounds, as it may be large and come slowly.
async fn in_time(
    state: &Arc<State>,
    info: RequestInfo,
    query: Query,
    parts: Parts,
    body: Body,
) -> Result<Reply, Status> {
    let time_max = state.config.limits.request_timeout;
    if images::owns(&info.path) {
        return serve(state, info, query, parts, body).await;
    }
    let timeout = if info.verb == "watch" { time_max } else { deadline::of(&query, time_max)? };
    let served = tokio::time::timeout(timeout, serve(state, info, query, parts, body)).await;
    served.unwrap_or_else(|_| Err(Status::timeout("request did not complete within the allotted timeout", 0)))
}

async fn serve(state: &Arc<State>, info: RequestInfo, query: Query, parts: Parts, body: Body) -> Result<Reply, Status> {
    let user = authenticate::authenticate(state, &parts).await?;
    let client = Client::new(&user, parts.extensions.get::<Peer>().map(|peer| peer.0.ip()));
    let _seat = state.fairness.seat(&client, Work::of(info.verb)).await?;
    let user = impersonate::impersonate(state, user, &parts.headers, &query).await?;
    if images::owns(&info.path) {
        return images::serve(state, &user, parts, body).await;
    }
    authorize::authorize(state, &user, &info, &query).await?;
    let (body, reserved) = (Mutex::new(Some(body)), Mutex::default());
    let call = Call { info, query, user, parts, client, body, reserved };
    if call.info.is_resource { verbs::serve(state, &call).await } else { paths::serve(state, &call).await }
}

/// What a request is counted as. What is not served is not named: names that clients make up are endless.
fn label(state: &State, info: &RequestInfo) -> String {
    if !info.is_resource {
        return "//".to_owned();
    }
    match state.catalog.find(&info.group, &info.version, &info.resource) {
        Some(resource) if info.subresource.is_empty() => resource.label.clone(),
        Some(resource) if resource.kind.subresource(&info.subresource).is_some() => {
            format!("{}/{}", resource.label, info.subresource)
        }
        Some(_) | None => "//".to_owned(),
    }
}

/// What is to be said of the kind to everybody who asks for it.
fn deprecation(state: &State, info: &RequestInfo) -> Option<String> {
    if !info.is_resource {
        return None;
    }
    state.catalog.find(&info.group, &info.version, &info.resource)?.kind.deprecation.clone()
}

impl Call {
    /// The whole body. It can be read once.
    pub(crate) async fn bytes(&self, state: &State) -> Result<Bytes, Status> {
        let body = self.body.lock().take().unwrap_or_default();
        let bytes_max = state.config.limits.body_bytes_max;
        let n_bytes = body::n_bytes(&self.parts.headers, &body, bytes_max)?;
        let reserved = state.fairness.reserve(&self.client, n_bytes * DECODED_FACTOR).await;
        *self.reserved.lock() = Some(reserved);
        body::read(body, bytes_max).await
    }

    /// The body as it comes, for whoever reads it elsewhere. It can be taken once.
    pub(crate) fn body(&self) -> Body {
        self.body.lock().take().unwrap_or_default()
    }

    /// What the client wants the answer to look like.
    pub(crate) fn wanted(&self, streams: bool) -> Result<Wanted, Status> {
        Wanted::of(&self.parts.headers, &self.query, streams)
    }

    /// The program that asks.
    pub(crate) fn user_agent(&self) -> &str {
        let value = self.parts.headers.get(http::header::USER_AGENT);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the client wants, where only JSON can be made.
    pub(crate) fn wanted_json(&self) -> Wanted {
        let wanted = self.wanted(false).unwrap_or(Wanted::JSON);
        Wanted { format: Format::Json, ..wanted }
    }
}
