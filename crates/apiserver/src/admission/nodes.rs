//! A node writes its own Node and its own Lease and no other: creation has no name in its path, so authorisation cannot tell.

use coracle_api::kind::name_of;
use coracle_api::status::Status;
use serde_json::Value;

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
