//! Proxies to pods, services and nodes: plain HTTP and upgrades, into the pod network by way of a node.

mod target;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use coracle_api::status::Status;
use http::header::{AUTHORIZATION, HOST, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use tower::ServiceExt;

use self::target::Target;
use crate::handler::{Call, Reply};
use crate::kubelets::unreachable;
use crate::state::State;

/// How a node says that it could not reach what it was asked for.
const UNREACHABLE: HeaderName = HeaderName::from_static("x-coracle-unreachable");
/// Bytes of a node's reason.
const REASON_BYTES_MAX: usize = 4096;
/// What concerns one connection only.
const HOP_BY_HOP: [&str; 6] =
    ["keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "proxy-connection"];

/// Passes a request on to what the path names.
pub(super) async fn serve(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    let target = match call.info.resource.as_str() {
        "pods" => target::pod(state, &call.info.namespace, &call.info.name).await?,
        "services" => target::service(state, &call.info.namespace, &call.info.name).await?,
        _ => target::node(state, &call.info.name).await?,
    };
    let base = base(call);
    let rest = &call.parts.uri.path()[base.len()..];
    if rest.is_empty() && matches!(call.parts.method, Method::GET | Method::HEAD) && !is_upgrade(&call.parts.headers) {
        return Ok(Reply::Response(Box::new(to_the_root(call))));
    }
    let response = pass_on(state, call, &target, rest).await?;
    Ok(Reply::Response(Box::new(relocated(response, base, &target))))
}

/// The part of the path before what is proxied: it ends with `/proxy`.
fn base(call: &Call) -> &str {
    let path = call.parts.uri.path();
    // /api/v1/nodes/NAME/proxy or /api/v1/namespaces/NAMESPACE/pods/NAME/proxy
    let n_segments = if call.info.namespace.is_empty() { 5 } else { 7 };
    let mut n = 0;
    let mut in_segment = false;
    for (at, byte) in path.bytes().enumerate() {
        if byte == b'/' && in_segment {
            n += 1;
            if n == n_segments {
                return &path[..at];
            }
        }
        in_segment = byte != b'/';
    }
    path
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// Relative links on a page work only below a path that ends with a slash.
fn to_the_root(call: &Call) -> Response {
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", call.parts.uri.path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

async fn pass_on(state: &State, call: &Call, target: &Target, rest: &str) -> Result<Response, Status> {
    let query = call.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if rest.is_empty() { "/" } else { rest };
    let (node, uri, host) = match target {
        Target::Address { node, address, host } => (node, format!("/proxy/{address}{path}{query}"), host.clone()),
        Target::Node { node } => (node, format!("{path}{query}"), node.clone()),
    };
    let road = match node.is_empty() {
        true => state.kubelets.any(),
        false => state.kubelets.get(node),
    };
    let road = road.ok_or_else(|| unreachable(node))?;
    let uri: Uri = uri.parse().map_err(|_| Status::bad_request("the path cannot be asked for"))?;
    let mut request = Request::new(call.body());
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers(&call.parts.headers, &host);
    if let Some(upgrade) = call.parts.extensions.get::<OnUpgrade>() {
        request.extensions_mut().insert(upgrade.clone());
    }
    let response: Response =
        road.oneshot(request).await.unwrap_or_else(|error: std::convert::Infallible| match error {});
    if !response.headers().contains_key(UNREACHABLE) {
        return Ok(response);
    }
    let why = axum::body::to_bytes(response.into_body(), REASON_BYTES_MAX).await.unwrap_or_default();
    let why = String::from_utf8_lossy(&why).into_owned();
    Err(Status::service_unavailable(format!("error trying to reach service: {why}")))
}

/// The headers that go on: those of the request, without what is between the client and this server only.
fn headers(sent: &HeaderMap, host: &str) -> HeaderMap {
    let mut headers = sent.clone();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(AUTHORIZATION);
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }
    headers
}

/// A redirect within the target stays below the proxy.
fn relocated(mut response: Response, base: &str, target: &Target) -> Response {
    let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) else {
        return response;
    };
    let own = match target {
        Target::Address { host, .. } => Some(host.as_str()),
        Target::Node { .. } => None,
    };
    let path = match location.strip_prefix("http://").and_then(|rest| rest.strip_prefix(own?)) {
        Some(path) if path.is_empty() || path.starts_with('/') => path,
        Some(_) => return response,
        None if location.starts_with('/') && !location.starts_with("//") => location,
        None => return response,
    };
    if let Ok(location) = HeaderValue::from_str(&format!("{base}{path}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
