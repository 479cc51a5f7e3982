//! The kinds of the group `storage.k8s.io`.

use super::{row, strings};
use crate::kind::{Hooks, Kind};
use crate::{columns, defaults, validation};

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        short_names: strings(&["sc"]),
        columns: columns::storage::class(),
        hooks: Hooks {
            defaults: defaults::storage::class,
            validate: validation::storage_classes::class,
            validate_update: validation::storage_classes::class_update,
            ..Hooks::default()
        },
        returns_deleted: true,
        ..row("storage.k8s.io", "v1", "StorageClass", "storageclasses")
    }]
}
