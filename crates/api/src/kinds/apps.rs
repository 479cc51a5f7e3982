//! The kinds of the group `apps`.

use super::{fields, row, scale, status, strings};
use crate::kind::{Generation, Kind};

pub(super) fn rows() -> Vec<Kind> {
    vec![controller_revision(), deployment(), replica_set()]
}

fn controller_revision() -> Kind {
    row("apps", "v1", "ControllerRevision", "controllerrevisions")
}

fn deployment() -> Kind {
    Kind {
        short_names: strings(&["deploy"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![scale(), status("Deployment", "apps")],
        ..row("apps", "v1", "Deployment", "deployments")
    }
}

fn replica_set() -> Kind {
    Kind {
        short_names: strings(&["rs"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![scale(), status("ReplicaSet", "apps")],
        fields: fields(&[("status.replicas", |rs| rs["status"]["replicas"].as_i64().unwrap_or_default().to_string())]),
        ..row("apps", "v1", "ReplicaSet", "replicasets")
    }
}
