//! `APIGroupDiscoveryList`: everything below `/api` or `/apis` in one document.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::legacy::{groups, versions};
use crate::kind::{Kind, Subresource};

/// The document of `/api` when `core` is true, of `/apis` otherwise. `version` is `v2` or `v2beta1`.
pub fn aggregated<'k>(kinds: impl IntoIterator<Item = &'k Kind>, core: bool, version: &str) -> Value {
    let kinds: Vec<&Kind> = kinds.into_iter().filter(|k| k.group.is_empty() == core).collect();
    let items: Vec<Value> = groups(&kinds).into_iter().map(|group| group_document(&kinds, &group)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"), "metadata": {}, "items": items})
}

fn group_document(kinds: &[&Kind], group: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, group).into_iter().map(|v| version_document(kinds, group, &v)).collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
    json!({"metadata": metadata, "versions": versions})
}

fn version_document(kinds: &[&Kind], group: &str, version: &str) -> Value {
    let rows = kinds.iter().filter(|k| k.group == group && k.version == version);
    let resources: BTreeMap<&str, Value> = rows.map(|k| (k.plural.as_str(), resource(k))).collect();
    json!({"version": version, "freshness": "Current", "resources": resources.into_values().collect::<Vec<_>>()})
}

fn resource(kind: &Kind) -> Value {
    let mut document = json!({
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        document["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        document["categories"] = json!(kind.categories);
    }
    let mut subresources: Vec<&Subresource> = kind.subresources.iter().collect();
    subresources.sort_by(|a, b| a.name.cmp(&b.name));
    if !subresources.is_empty() {
        document["subresources"] = subresources.into_iter().map(|row| subresource(kind, row)).collect();
    }
    document
}

/// Group and version are told only where they are not those of the document's place.
fn subresource(kind: &Kind, row: &Subresource) -> Value {
    let same = (&row.group, &row.version) == (&kind.group, &kind.version);
    let (group, version) = if same { ("", "") } else { (row.group.as_str(), row.version.as_str()) };
    json!({
        "subresource": row.name,
        "responseKind": {"group": group, "version": version, "kind": row.kind},
        "verbs": row.verbs,
    })
}
