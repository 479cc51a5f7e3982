//! Kinds that nobody keeps: every node is asked for the objects it has now, and what they said is remembered for a
//! moment. Nothing is stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use coracle_api::columns::{self, IncludeObject, TableOptions};
use coracle_api::kind::{name_of, namespace_of};
use coracle_api::status::Status;
use futures::StreamExt;
use http::{HeaderValue, Request};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tower::ServiceExt;
use tracing::debug;

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::negotiate::Form;
use crate::options::ListOptions;
use crate::resources::Resource;
use crate::selection::Selection;
use crate::state::State;
use crate::verbs;

/// Nodes that are asked at one time.
const NODES_AT_ONCE: usize = 16;
/// How long a node may take. Who is late is left out.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of one node's answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long what was heard is good for.
const GOOD_FOR: Duration = Duration::from_secs(2);

type Objects = Arc<[Value]>;

/// What the nodes said last, by the path at which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<HashMap<&'static str, Arc<AsyncMutex<Heard>>>>);

#[derive(Debug, Default)]
struct Heard(Option<(Instant, Objects)>);

/// Answers a get or a list.
pub(crate) async fn serve(
    state: &State,
    resource: &Resource,
    path: &'static str,
    call: &Call,
) -> Result<Reply, Status> {
    let wanted = call.wanted(false)?;
    let include_object = verbs::include_object(call)?;
    let options = ListOptions::parse(&call.query, false)?;
    let selection = Selection::parse(&resource.kind, verbs::place(resource, call), &options)?;
    let all = objects(state, resource, path).await?;
    let bytes = if call.info.verb == "get" {
        let (namespace, name) = (verbs::place(resource, call), call.info.name.as_str());
        let found = all.iter().find(|object| name_of(object) == name && namespace_of(object) == namespace);
        let found = found.ok_or_else(|| Status::not_found(resource.kind.resource(), name))?;
        write_one(resource, found, wanted.form, include_object)
    } else {
        options.validate()?;
        let is_here = |object: &&Value| {
            selection.covers(&resource.kind.key(namespace_of(object), name_of(object)))
                && selection.matches(&resource.kind, object)
        };
        write_list(resource, all.iter().filter(is_here), wanted.form, include_object)
    };
    let reserved = state.fairness.reserve(&call.client, bytes.len()).await;
    Ok(Reply::Answer(Answer::bytes(200, reserved.attach(bytes)), wanted))
}

/// What all nodes have, by namespace and name.
async fn objects(state: &State, resource: &Resource, path: &'static str) -> Result<Objects, Status> {
    let heard = Arc::clone(state.live.0.lock().entry(path).or_default());
    // Whoever comes second waits here for what the first one hears.
    let mut heard = heard.lock().await;
    if let Some((at, objects)) = &heard.0
        && at.elapsed() < GOOD_FOR
    {
        return Ok(Arc::clone(objects));
    }
    let nodes = state.objects(&state.resource("", "v1", "nodes"), None).await?;
    let answers = futures::stream::iter(nodes)
        .map(|node| async move { ask(state, resource, &node, path).await })
        .buffer_unordered(NODES_AT_ONCE)
        .collect::<Vec<_>>();
    let mut objects: Vec<Value> = answers.await.into_iter().flatten().collect();
    objects.sort_by(|a, b| (namespace_of(a), name_of(a)).cmp(&(namespace_of(b), name_of(b))));
    let objects: Objects = objects.into();
    heard.0 = Some((Instant::now(), Arc::clone(&objects)));
    Ok(objects)
}

/// What one node has: nothing when it cannot be asked.
async fn ask(state: &State, resource: &Resource, node: &Value, path: &str) -> Vec<Value> {
    let name = name_of(node);
    match tokio::time::timeout(PATIENCE, try_ask(state, name, path)).await {
        Ok(Ok(objects)) => attributed(resource.kind.namespaced, node, objects),
        Ok(Err(why)) => {
            debug!(node = name, path, why, "node left out");
            Vec::new()
        }
        Err(_) => {
            debug!(node = name, path, "node left out: it did not answer in time");
            Vec::new()
        }
    }
}

async fn try_ask(state: &State, node: &str, path: &str) -> Result<Vec<Value>, String> {
    let road = state.kubelets.get(node).ok_or("there is no road to it")?;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().map_err(|error| format!("{error}"))?;
    request.headers_mut().insert(http::header::HOST, HeaderValue::from_static("node"));
    let response = road.oneshot(request).await.unwrap_or_else(|error: std::convert::Infallible| match error {});
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let body = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|error| error.to_string())?;
    let mut list: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Err("its answer is no list".to_owned()),
    }
}

/// Of objects without a namespace, a node has those that are about itself, and they have its labels.
fn attributed(is_namespaced: bool, node: &Value, mut objects: Vec<Value>) -> Vec<Value> {
    if !is_namespaced {
        objects.retain(|object| name_of(object) == name_of(node));
        for object in &mut objects {
            object["metadata"]["labels"] = node["metadata"]["labels"].clone();
        }
    }
    objects
}

fn write_one(resource: &Resource, object: &Value, form: Form, include_object: IncludeObject) -> Bytes {
    let mut whole = json!({"kind": resource.kind.kind, "apiVersion": resource.api_version});
    if let (Some(whole), Some(fields)) = (whole.as_object_mut(), object.as_object()) {
        whole.extend(fields.clone());
    }
    to_bytes(&match form {
        Form::Object => whole,
        Form::Partial(version) => columns::partial(&whole, version),
        Form::Table(version) => table(resource, [&whole], version, include_object),
    })
}

fn write_list<'o>(
    resource: &Resource,
    objects: impl Iterator<Item = &'o Value>,
    form: Form,
    include_object: IncludeObject,
) -> Bytes {
    to_bytes(&match form {
        Form::Object => json!({
            "kind": resource.kind.list_kind(),
            "apiVersion": resource.api_version,
            "metadata": {},
            "items": objects.collect::<Vec<_>>(),
        }),
        Form::Partial(version) => columns::partial_list(&objects.cloned().collect::<Vec<_>>(), json!({}), version),
        Form::Table(version) => table(resource, objects, version, include_object),
    })
}

fn table<'o>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'o Value>,
    version: &str,
    include_object: IncludeObject,
) -> Value {
    let options = TableOptions { now: Timestamp::now(), include_object, no_headers: false, version };
    columns::table(&resource.kind, objects, json!({}), options)
}

fn to_bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("a JSON value always serialises").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_speaks_for_itself_alone() {
        let node = json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}});
        let said = vec![json!({"metadata": {"name": "n1"}}), json!({"metadata": {"name": "n2"}})];
        let heard = attributed(false, &node, said.clone());
        assert_eq!(heard, [json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})]);
        assert_eq!(attributed(true, &node, said).len(), 2);
    }
}
