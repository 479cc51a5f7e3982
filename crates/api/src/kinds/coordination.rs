//! The kinds of the group `coordination.k8s.io`.

use super::row;
use crate::kind::Kind;

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        create_on_update: true,
        unconditional_update: false,
        ..row("coordination.k8s.io", "v1", "Lease", "leases")
    }]
}
