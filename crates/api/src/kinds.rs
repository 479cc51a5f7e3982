//! The one table of built-in kinds. A row is written where its group is; nothing else in the project lists kinds.

use std::sync::LazyLock;

use serde_json::Value;

use crate::columns::Columns;
use crate::kind::{Generation, Hooks, Kind, SelectableField, Source, Subresource};

mod apps;
mod batch;
mod certificates;
mod coordination;
pub mod core;
mod discovery;
pub(crate) mod events;
pub mod metrics;
mod node;
mod scheduling;
mod storage;
mod unkept;
mod workloads;

pub use scheduling::SYSTEM_PRIORITIES;

static ALL: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let rows = [
        unkept::core(),
        core::rows(),
        workloads::core(),
        apps::rows(),
        workloads::apps(),
        batch::rows(),
        unkept::rows(),
        coordination::rows(),
        discovery::rows(),
        events::rows(),
        certificates::rows(),
        node::rows(),
        scheduling::rows(),
        storage::rows(),
        workloads::policy(),
        metrics::rows(),
    ];
    rows.into_iter().flatten().collect()
});

/// Every built-in kind, the core group first.
pub fn all() -> &'static [Kind] {
    &ALL
}

/// The kind that a path names: `("apps", "v1", "deployments")`.
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    all().iter().find(|k| k.plural == plural && k.group == group && k.version == version)
}

/// The kind that an object names: `("apps", "v1", "Deployment")`.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    all().iter().find(|k| k.kind == kind && k.group == group && k.version == version)
}

/// The kind of an object's `apiVersion` and `kind`.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    by_kind(group, version, kind)
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A row with what most kinds have: a namespace, every verb, no subresources.
fn row(group: &str, version: &str, kind: &str, plural: &str) -> Kind {
    let storage_group = if group.is_empty() { "core" } else { group };
    let schema_group = storage_group.strip_suffix(".k8s.io").unwrap_or(storage_group);
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        namespaced: true,
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: strings(&VERBS),
        subresources: Vec::new(),
        schema: format!("io.k8s.api.{schema_group}.{version}.{kind}"),
        source: Source::Store,
        storage: format!("/registry/{storage_group}/{plural}"),
        conversion: None,
        generation: Generation::None,
        status_on_create: false,
        empty_status: None,
        graceful: false,
        returns_deleted: false,
        orphans: false,
        create_on_update: false,
        unconditional_update: true,
        deprecation: None,
        columns: Columns::default(),
        fields: Vec::new(),
        hooks: Hooks::default(),
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

/// A subresource that is written and read as the object itself.
fn part(kind: &str, group: &str, name: &str, verbs: &[&str]) -> Subresource {
    other(name, group, "v1", kind, verbs)
}

/// A subresource with a kind of its own.
fn other(name: &str, group: &str, version: &str, kind: &str, verbs: &[&str]) -> Subresource {
    Subresource {
        name: name.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        verbs: strings(verbs),
    }
}

const READ_WRITE: [&str; 3] = ["get", "patch", "update"];

fn status(kind: &str, group: &str) -> Subresource {
    part(kind, group, "status", &READ_WRITE)
}

fn scale() -> Subresource {
    other("scale", "autoscaling", "v1", "Scale", &READ_WRITE)
}

type Field = (&'static str, fn(&Value) -> String);

fn fields(rows: &[Field]) -> Vec<SelectableField> {
    rows.iter().map(|(name, value)| SelectableField { name: (*name).to_owned(), value: *value }).collect()
}

#[cfg(test)]
mod tests;
