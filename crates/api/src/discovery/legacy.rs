//! The documents that clients read one group-version at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::kind::{Kind, Source, Subresource, api_version};

/// Groups in the order in which upstream prefers them; what it does not have comes after them, by name.
const PREFERRED: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Groups in the order of preference: where names are ambiguous, clients take the first.
pub(super) fn groups(kinds: &[&Kind]) -> Vec<String> {
    let mut groups = distinct(kinds.iter().map(|k| &k.group));
    let rank = |group: &String| PREFERRED.iter().position(|known| known == group).unwrap_or(PREFERRED.len());
    groups.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
    groups
}

/// Versions of a group in the order of their first row: the preferred one first.
pub(super) fn versions(kinds: &[&Kind], group: &str) -> Vec<String> {
    distinct(kinds.iter().filter(|k| k.group == group).map(|k| &k.version))
}

fn distinct<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for text in texts {
        if !seen.contains(text) {
            seen.push(text.clone());
        }
    }
    seen
}

/// `/api`. `address` is where clients reach the server: `127.0.0.1:6443`.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub fn api_group_list<'k>(kinds: impl IntoIterator<Item = &'k Kind>) -> Value {
    let kinds: Vec<&Kind> = kinds.into_iter().filter(|k| !k.group.is_empty()).collect();
    let groups: Vec<Value> = groups(&kinds).iter().map(|group| group_entry(&kinds, group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`. None when there is no such group.
pub fn api_group<'k>(kinds: impl IntoIterator<Item = &'k Kind>, group: &str) -> Option<Value> {
    let kinds: Vec<&Kind> = kinds.into_iter().filter(|k| k.group == group && !group.is_empty()).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut document = group_entry(&kinds, group);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

fn group_entry(kinds: &[&Kind], group: &str) -> Value {
    let entry = |version: &String| json!({"groupVersion": api_version(group, version), "version": version});
    let versions: Vec<Value> = versions(kinds, group).iter().map(entry).collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/v1` and `/apis/GROUP/VERSION`. None when there is no such version.
pub fn api_resource_list<'k>(kinds: impl IntoIterator<Item = &'k Kind>, group: &str, version: &str) -> Option<Value> {
    let kinds = kinds.into_iter().filter(|k| k.group == group && k.version == version);
    let mut resources: Vec<(String, Value)> = kinds.flat_map(entries).collect();
    if resources.is_empty() {
        return None;
    }
    resources.sort_by(|a, b| a.0.cmp(&b.0));
    let resources: Vec<Value> = resources.into_iter().map(|(_, entry)| entry).collect();
    let mut document =
        json!({"kind": "APIResourceList", "groupVersion": api_version(group, version), "resources": resources});
    // The core group's list is older than the rule that documents carry a version.
    if !group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    Some(document)
}

fn entries(kind: &Kind) -> Vec<(String, Value)> {
    let subresources = kind.subresources.iter().map(|s| {
        let name = format!("{}/{}", kind.plural, s.name);
        (name.clone(), subresource(kind, s, &name))
    });
    [(kind.plural.clone(), resource(kind))].into_iter().chain(subresources).collect()
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    if kind.has_verb("list") && kind.source == Source::Store {
        entry["storageVersionHash"] = json!(storage_version_hash(kind));
    }
    entry
}

fn subresource(kind: &Kind, row: &Subresource, name: &str) -> Value {
    let mut entry = json!({
        "name": name,
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": row.kind,
        "verbs": row.verbs,
    });
    if (&row.group, &row.version) != (&kind.group, &kind.version) {
        entry["group"] = json!(row.group);
        entry["version"] = json!(row.version);
    }
    entry
}

/// Tells clients when a kind's stored form changes.
fn storage_version_hash(kind: &Kind) -> String {
    let stored = kind.storage.split('/').nth(2).unwrap_or_default();
    let group = if kind.conversion.is_some() && stored == "core" { "" } else { &kind.group };
    let identity = format!("{group}/{}/{}", kind.version, kind.kind);
    STANDARD.encode(&Sha256::digest(identity)[..8])
}
