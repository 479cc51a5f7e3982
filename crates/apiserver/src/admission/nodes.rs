//! A node writes its own Node and its own Lease and no other: creation has no name in its path, so authorisation cannot tell.

use coracle_api::kind::name_of;
use coracle_api::status::Status;
use serde_json::{Value, json};

use crate::registry::Write;

/// Refuses what the agent of another node should write.
pub(super) fn restrict(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let Some(node) = write.user.node_name() else { return Ok(()) };
    let kind = &write.resource.kind;
    let name = name_of(object);
    let why = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "nodes") if name != node => format!("node {node:?} is not allowed to modify node {name:?}"),
        ("coordination.k8s.io", "leases") if name != node => {
            "can only access node lease with the same name as the requesting node".to_owned()
        }
        _ => return Ok(()),
    };
    Err(Status::forbidden(kind.resource(), name, &why))
}

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// A new node takes no pods before it has said that it is ready.
pub(super) fn taint(write: &Write<'_>, object: &mut Value) {
    let kind = &write.resource.kind;
    if (kind.group.as_str(), kind.plural.as_str()) != ("", "nodes") {
        return;
    }
    let Some(spec) = object.as_object_mut().map(|node| node.entry("spec").or_insert_with(|| json!({}))) else { return };
    let present = spec["taints"].as_array().cloned().unwrap_or_default();
    if !present.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
        spec["taints"] = present.into_iter().chain([json!({"key": NOT_READY, "effect": "NoSchedule"})]).collect();
    }
}
