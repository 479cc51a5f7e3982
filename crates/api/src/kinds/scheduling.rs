//! The kinds of the group `scheduling.k8s.io`.

use serde_json::{Value, json};

use super::{row, strings};
use crate::kind::{Hooks, Kind};
use crate::{columns, defaults, validation};

/// The classes that every cluster has, with their values and what they are for.
pub const SYSTEM_PRIORITIES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        short_names: strings(&["pc"]),
        columns: columns::cluster::priority_class(),
        hooks: Hooks {
            defaults: defaults::limits::priority_class,
            prepare_create: |class: &mut Value| class["metadata"]["generation"] = json!(1),
            validate: validation::priority_classes::class,
            validate_update: validation::priority_classes::class_update,
            ..Hooks::default()
        },
        ..row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
    }]
}
