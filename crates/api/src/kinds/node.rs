//! The kinds of the group `node.k8s.io`.

use super::row;
use crate::kind::{Hooks, Kind};
use crate::{columns, validation};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        unconditional_update: false,
        columns: columns::cluster::runtime_class(),
        hooks: Hooks {
            validate: validation::runtime_classes::class,
            validate_update: validation::runtime_classes::class_update,
            ..Hooks::default()
        },
        ..row("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses")
    }]
}
