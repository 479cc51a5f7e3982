//! Priority classes: one of them is the default at most, and the system's own stay.

use coracle_api::kind::name_of;
use coracle_api::kinds::SYSTEM_PRIORITIES;
use coracle_api::status::Status;
use serde_json::Value;

use crate::registry::Write;

/// There is one default at most.
pub(super) async fn check(write: &Write<'_>, class: &Value) -> Result<(), Status> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    let all = write.state.objects(write.resource, None).await?;
    let other = all.iter().find(|other| other["globalDefault"] == true && name_of(other) != name_of(class));
    let Some(other) = other else { return Ok(()) };
    let why = format!("PriorityClass {} is already marked as default. Only one default can exist", name_of(other));
    Err(Status::forbidden(write.resource.kind.resource(), name_of(class), &why))
}

/// Why a class may not be deleted.
pub(super) fn keep(name: &str) -> Option<&'static str> {
    let is_own = SYSTEM_PRIORITIES.iter().any(|(own, ..)| *own == name);
    is_own.then_some("this is a system priority class and cannot be deleted")
}
