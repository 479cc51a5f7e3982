//! exec, attach and port-forward: checked here, then handed with the connection's upgrade to the node that the pod runs on.

use std::sync::Arc;

use axum::response::Response;
use coracle_api::status::{Attributes, Status};
use http::header::UPGRADE;
use http::{Request, Uri};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;
use tower::ServiceExt;
use url::form_urlencoded::Serializer;

use super::log::container;
use crate::authorize;
use crate::handler::{Call, Reply};
use crate::kubelets::unreachable;
use crate::query::{Query, parse_uint};
use crate::state::State;

/// A command in a container.
pub(super) async fn exec(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    into_container(state, call, "exec").await
}

/// The streams of a container's own process.
pub(super) async fn attach(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    into_container(state, call, "attach").await
}

/// Connections to a pod's ports.
pub(super) async fn port_forward(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    may_create(state, call).await?;
    let ports = ports(&call.query)?;
    let pod = pod(state, call).await?;
    let query = if ports.is_empty() { String::new() } else { format!("?port={}", ports.join(",")) };
    let path = format!("/portForward/{}/{}{query}", call.info.namespace, call.info.name);
    hand_over(state, call, node_of(&pod)?, &path).await
}

async fn into_container(state: &Arc<State>, call: &Call, what: &str) -> Result<Reply, Status> {
    may_create(state, call).await?;
    let pod = pod(state, call).await?;
    let container = container(&pod, call.query.text("container"))?;
    let node = node_of(&pod)?;
    let path = format!("/{what}/{}/{}/{container}?{}", call.info.namespace, call.info.name, forwarded(&call.query));
    hand_over(state, call, node, &path).await
}

async fn pod(state: &State, call: &Call) -> Result<Value, Status> {
    state.existing(&state.resource("", "v1", "pods"), &call.info.namespace, &call.info.name).await
}

/// Who opens a stream with a GET must be allowed to create one.
async fn may_create(state: &State, call: &Call) -> Result<(), Status> {
    if call.info.verb != "get" {
        return Ok(());
    }
    let attributes = Attributes { verb: "create", ..authorize::attributes(&call.info) };
    match authorize::check(state, &call.user, &attributes, &call.query).await? {
        None => Ok(()),
        Some(why) => Err(Status::denied(&call.user, &attributes, &why)),
    }
}

fn node_of(pod: &Value) -> Result<&str, Status> {
    let node = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
    let name = coracle_api::kind::name_of(pod);
    node.ok_or_else(|| Status::bad_request(format!("pod {name} does not have a host assigned")))
}

/// The options under the names that a kubelet knows.
fn forwarded(query: &Query) -> String {
    let mut out = Serializer::new(String::new());
    for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(ours) {
            out.append_pair(theirs, "1");
        }
    }
    for word in query.all("command") {
        out.append_pair("command", &word);
    }
    out.finish()
}

fn ports(query: &Query) -> Result<Vec<String>, Status> {
    let values = query.all("ports");
    let ports = values.iter().flat_map(|value| value.split(','));
    let checked = ports.map(|port| match parse_uint(port) {
        Ok(number) if number <= u64::from(u16::MAX) => Ok(number.to_string()),
        Ok(_) => Err(Status::bad_request(format!(
            "cannot convert to []int32: strconv.ParseUint: parsing {port:?}: value out of range"
        ))),
        Err(why) => Err(Status::bad_request(format!("cannot convert to []int32: {why}"))),
    });
    checked.collect()
}

/// Passes the request on to `node`, with the means to take the connection over. What the node says is the answer.
async fn hand_over(state: &State, call: &Call, node: &str, path: &str) -> Result<Reply, Status> {
    if !call.parts.headers.contains_key(UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let road = state.kubelets.get(node).ok_or_else(|| unreachable(node))?;
    let uri: Uri = path.parse().map_err(|_| Status::bad_request("the pod's path cannot be asked for"))?;
    let mut request = Request::new(call.body());
    *request.method_mut() = call.parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = call.parts.headers.clone();
    // Who asks was settled here.
    request.headers_mut().remove(http::header::AUTHORIZATION);
    if let Some(upgrade) = call.parts.extensions.get::<OnUpgrade>() {
        request.extensions_mut().insert(upgrade.clone());
    }
    let response: Response =
        road.oneshot(request).await.unwrap_or_else(|error: std::convert::Infallible| match error {});
    Ok(Reply::Response(Box::new(response)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_on_under_their_other_names() {
        let query = Query::parse("command=sh&command=-c&command=a%20b&stdin=true&stdout=1&stderr=false&container=c");
        assert_eq!(forwarded(&query), "input=1&output=1&command=sh&command=-c&command=a+b");
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!(ports(&Query::parse("ports=80,81&ports=82")).unwrap(), ["80", "81", "82"]);
        assert_eq!(
            ports(&Query::parse("ports=x")).unwrap_err().message,
            "cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax"
        );
        assert_eq!(ports(&Query::parse("ports=70000")).unwrap_err().code, 400);
    }
}
