//! Paths outside the API's resources: discovery, schemas, health, version and metrics.

mod health;
mod openid;
mod schemas;
mod version;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use coracle_api::status::Status;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::answer::Answer;
use crate::discovery;
use crate::handler::{Call, Reply};
use crate::state::State;

pub(crate) use schemas::Schemas;

/// Paths that are always there.
const PATHS: [&str; 10] = [
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
];

/// Answers a request whose path names no resource.
pub(crate) async fn serve(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    let segments: Vec<&str> = call.info.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let known = is_known(state, &segments);
    if call.info.path.starts_with("//") || call.info.path.trim_end_matches('/').contains("//") {
        return Ok(Answer::text(404, "404 page not found\n").into());
    }
    // Health, metrics and schemas are behind no router that looks at the method.
    let is_routed = known && matches!(segments.first(), Some(&("api" | "apis" | "version")));
    if is_routed && call.parts.method != Method::GET {
        return Err(Status::method_not_allowed());
    }
    match segments.as_slice() {
        [] => Ok(Answer::json(200, &serde_json::json!({"paths": all_paths(state)})).into()),
        ["api" | "apis", ..] if known => discovery::serve(state, &segments, call),
        ["version"] => Ok(Answer::json(200, &version::version()).into()),
        [which @ ("healthz" | "livez" | "readyz"), check @ ..] => health::serve(state, which, check, &call.query),
        ["metrics"] => {
            let fairness = &state.fairness;
            let lines_made = state.catalog.all().iter().map(|resource| resource.hub.lines_made()).sum();
            let text = state.metrics.render(&[
                ("apiserver_current_inflight_requests", "Requests at work now.", fairness.n_seated() as u64),
                ("apiserver_current_inqueue_requests", "Requests that wait for a seat.", fairness.n_waiting() as u64),
                ("apiserver_longrunning_requests", "Watches and other streams.", fairness.n_streams() as u64),
                ("coracle_watch_lines_made", "Events that were written down for watches.", lines_made),
                ("coracle_store_revision", "The newest revision of the store.", state.store.revision()),
                ("coracle_store_compacted_revision", "The oldest revision that is kept.", state.store.compacted()),
            ]);
            Ok(Answer::text(200, text).into())
        }
        ["openapi", version, rest @ ..] => schemas::serve(state, version, rest, call).await,
        [".well-known", "openid-configuration"] => Ok(openid::configuration(state)),
        ["openid", "v1", "jwks"] => Ok(openid::keys(state)),
        _ => Ok(Answer::text(404, "404 page not found\n").into()),
    }
}

fn all_paths(state: &State) -> Vec<String> {
    let mut paths: Vec<String> = PATHS.map(str::to_owned).to_vec();
    for kind in state.catalog.kinds().iter() {
        paths.push(format!("/{}", coracle_api::openapi::group_path(&kind.group, &kind.version)));
        if !kind.group.is_empty() {
            paths.push(format!("/apis/{}", kind.group));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

fn is_known(state: &State, segments: &[&str]) -> bool {
    match segments {
        ["api" | "apis", ..] => discovery::knows(state, segments),
        ["version" | "metrics" | "healthz" | "livez" | "readyz"] | ["openapi", ..] => true,
        _ => false,
    }
}

/// A document that clients may keep: complete, or 304 when they have it.
pub(crate) fn document(headers: &HeaderMap, media_type: &'static str, body: Bytes, etag: &str) -> Reply {
    let quoted = format!("\"{etag}\"");
    let has_it = headers.get_all(IF_NONE_MATCH).iter().any(|value| value.as_bytes() == quoted.as_bytes());
    let mut response = Response::new(if has_it { Body::empty() } else { Body::from(body) });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&quoted) {
        headers.insert(ETAG, value);
    }
    Reply::Response(Box::new(response))
}
