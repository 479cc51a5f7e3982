//! The kinds of the group `coordination.k8s.io`.

use serde_json::Value;

use super::row;
use crate::kind::{Hooks, Kind};
use crate::{columns, validation};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        create_on_update: true,
        unconditional_update: false,
        columns: columns::core::lease(),
        hooks: Hooks {
            prepare_create: drop_election,
            prepare_update: |new, _, _| drop_election(new),
            validate: validation::leases::lease,
            validate_update: validation::leases::lease_update,
            ..Hooks::default()
        },
        ..row("coordination.k8s.io", "v1", "Lease", "leases")
    }]
}

/// Upstream knows the fields of coordinated election, and drops them unless a feature is switched on.
fn drop_election(lease: &mut Value) {
    let Some(spec) = lease.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.remove("strategy");
    spec.remove("preferredHolder");
}
