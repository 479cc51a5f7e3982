//! The kinds of the group `coordination.k8s.io`.

use super::row;
use crate::kind::{Hooks, Kind};
use crate::{columns, validation};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        create_on_update: true,
        unconditional_update: false,
        columns: columns::core::lease(),
        hooks: Hooks {
            validate: validation::leases::lease,
            validate_update: validation::leases::lease_update,
            ..Hooks::default()
        },
        ..row("coordination.k8s.io", "v1", "Lease", "leases")
    }]
}
