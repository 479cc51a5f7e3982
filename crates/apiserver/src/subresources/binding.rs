//! Binding: a pod is given its node, once.

use std::sync::Arc;

use coracle_api::kind::{Part, Resource as Name, Subresource, name_of, uid_of};
use coracle_api::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::options::{Write as WriteKind, WriteOptions};
use crate::registry::{Write, rewrite};
use crate::resources::Resource;
use crate::state::State;
use crate::verbs::writing;

const BINDING: Name<'static> = Name { group: "", name: "pods/binding" };

/// Answers a POST of a Binding to its pod.
pub(super) async fn create(
    state: &Arc<State>,
    resource: &Resource,
    subresource: &Subresource,
    call: &Call,
) -> Result<Reply, Status> {
    let (binding, options, warnings) = super::read(state, subresource, WriteKind::Create, call).await?;
    bind_pod(state, resource, call, &call.info.name, &binding, &options).await?;
    Ok(Reply::from(Answer::status(&Status::created()).with_warnings(warnings)))
}

/// Answers a POST of a Binding that names its pod itself.
pub(crate) async fn create_by_name(state: &Arc<State>, call: &Call) -> Result<Reply, Status> {
    let pods = state.resource("", "v1", "pods");
    let subresource = pods.kind.subresource("binding").expect("pods can be bound");
    let (binding, options, warnings) = super::read(state, subresource, WriteKind::Create, call).await?;
    bind_pod(state, &pods, call, name_of(&binding), &binding, &options).await?;
    Ok(Reply::from(Answer::status(&Status::created()).with_warnings(warnings)))
}

async fn bind_pod(
    state: &Arc<State>,
    pods: &Resource,
    call: &Call,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<(), Status> {
    check(binding, name)?;
    let write = Write { name, ..writing(state, pods, call, options, Part::Object) };
    // The node is a part of the spec that no update may change: this is the only way to set it.
    rewrite(&write, |pod| bind(pod, binding, Timestamp::now())).await
}

fn check(binding: &Value, name: &str) -> Result<(), Status> {
    let given = name_of(binding);
    if !given.is_empty() && given != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let target = |field: &str| binding["target"][field].as_str().unwrap_or_default();
    if !matches!(target("kind"), "" | "Node") {
        let kind = target("kind");
        let why = format!("target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\"");
        return Err(Status::unknown(why));
    }
    if target("name").is_empty() {
        return Err(Status::unknown("target.name: Required value"));
    }
    Ok(())
}

/// The pod with its node.
fn bind(pod: &Value, binding: &Value, now: Timestamp) -> Result<Value, Status> {
    let name = name_of(pod);
    let conflict = |why: String| Err(Status::conflict(BINDING, name, &why));
    let uid = uid_of(binding);
    if !uid.is_empty() && uid != uid_of(pod) {
        let found = uid_of(pod);
        return conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"));
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let present = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !present.is_empty() {
        return conflict(format!("pod {name} is already assigned to node {present:?}"));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut bound = pod.clone();
    bound["spec"]["nodeName"] = binding["target"]["name"].clone();
    for (name, value) in binding["metadata"]["annotations"].as_object().into_iter().flatten() {
        bound["metadata"]["annotations"][name] = value.clone();
    }
    set_scheduled(&mut bound, now);
    Ok(bound)
}

fn set_scheduled(pod: &mut Value, now: Timestamp) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let conditions = pod["status"]["conditions"].as_array_mut().expect("it was just made a list");
    match conditions.iter_mut().find(|condition| condition["type"] == "PodScheduled") {
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(node: &str) -> Value {
        json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}})
    }

    #[test]
    fn a_pod_is_bound_once() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Pending"}});
        let bound = bind(&pod, &binding("n1"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(bound["spec"]["nodeName"], "n1");
        assert_eq!(bound["status"]["conditions"][0]["status"], "True");
        let again = bind(&bound, &binding("n2"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(
            again.message,
            "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
        );
    }

    #[test]
    fn a_binding_needs_a_node() {
        assert_eq!(check(&binding(""), "p").unwrap_err().message, "target.name: Required value");
        assert_eq!(check(&binding("n"), "other").unwrap_err().code, 400);
        let odd = json!({"target": {"kind": "Pod", "name": "x"}});
        assert!(check(&odd, "p").unwrap_err().message.starts_with("target.kind: Unsupported value"));
    }
}
