//! The kinds of the group `apps`.

use serde_json::{Value, json};

use super::{row, scale, status, strings};
use crate::kind::{Generation, Hooks, Kind, Part};
use crate::{columns, defaults, validation, warnings};

pub(super) fn rows() -> Vec<Kind> {
    vec![controller_revision(), deployment(), replica_set()]
}

fn controller_revision() -> Kind {
    Kind {
        columns: columns::apps::controller_revision(),
        hooks: Hooks {
            validate: validation::apps::controller_revision,
            validate_update: validation::apps::controller_revision_update,
            ..Hooks::default()
        },
        ..row("apps", "v1", "ControllerRevision", "controllerrevisions")
    }
}

fn deployment() -> Kind {
    Kind {
        short_names: strings(&["deploy"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![scale(), status("Deployment", "apps")],

        columns: columns::apps::deployment(),
        hooks: Hooks {
            defaults: defaults::apps::deployment,
            prepare_update: keep_labels_of_status,
            validate: validation::apps::deployment,
            validate_update: validation::apps::deployment_update,
            warnings: warnings::workload,
            ..Hooks::default()
        },
        empty_status: Some(json!({})),
        ..row("apps", "v1", "Deployment", "deployments")
    }
}

fn replica_set() -> Kind {
    Kind {
        short_names: strings(&["rs"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![scale(), status("ReplicaSet", "apps")],

        columns: columns::apps::replica_set(),
        hooks: Hooks {
            defaults: defaults::apps::replica_set,
            validate: validation::apps::replica_set,
            validate_update: validation::apps::replica_set_update,
            warnings: warnings::workload,
            ..Hooks::default()
        },
        empty_status: Some(json!({"replicas": 0})),
        ..row("apps", "v1", "ReplicaSet", "replicasets")
    }
}

/// A status is about the pods: it leaves the Deployment's labels alone.
fn keep_labels_of_status(new: &mut Value, old: &Value, part: Part) {
    if part == Part::Status {
        new["metadata"]["labels"] = old["metadata"]["labels"].clone();
        crate::kind::drop_null(&mut new["metadata"], "labels");
    }
}
