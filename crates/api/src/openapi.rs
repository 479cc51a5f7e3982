//! OpenAPI documents, v3 per group and version and v2 for all, from kinds and the schema.

mod definitions;
mod descriptions;
pub mod gnostic;
mod paths;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use crate::schema::Message;

/// A kind as the documents need it.
#[derive(Debug, Clone)]
pub struct Resource<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub plural: &'a str,
    pub namespaced: bool,
    pub verbs: &'a [&'a str],
    /// Names of subresources with the kind of their body and their verbs.
    pub subresources: Vec<Subresource<'a>>,
    pub schema: &'a Message,
}

#[derive(Debug, Clone)]
pub struct Subresource<'a> {
    pub name: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub schema: Option<&'a Message>,
    pub verbs: &'a [&'a str],
}

/// The path of a group and version: `api/v1` or `apis/apps/v1`.
pub fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The v3 document of each group and version, by its path.
pub fn v3(resources: &[Resource<'_>]) -> BTreeMap<String, Value> {
    let mut groups: BTreeMap<String, Vec<&Resource<'_>>> = BTreeMap::new();
    for resource in resources {
        groups.entry(group_path(resource.group, resource.version)).or_default().push(resource);
    }
    let descriptions = descriptions::Descriptions::unpack();
    groups.into_iter().map(|(path, resources)| (path, document_v3(&resources, &descriptions))).collect()
}

fn document_v3(resources: &[&Resource<'_>], descriptions: &descriptions::Descriptions) -> Value {
    let mut definitions = definitions::Definitions::new("#/components/schemas/", descriptions);
    let mut all = Map::new();
    for resource in resources {
        definitions.resource(resource);
        paths::resource(resource, paths::Dialect::V3, &mut all);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": all,
        "components": {"schemas": definitions.finish()},
    })
}

/// The index at `/openapi/v3`: where each document is, with the hash of its content.
pub fn v3_index(documents: &BTreeMap<String, Value>) -> Value {
    let paths: Map<String, Value> = documents
        .iter()
        .map(|(path, document)| {
            let url = format!("/openapi/v3/{path}?hash={}", hash(document.to_string().as_bytes()));
            (path.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The hash that an index gives for a document.
pub fn hash(document: &[u8]) -> String {
    hex::encode_upper(Sha512::digest(document))
}

/// The one v2 document.
pub fn v2(resources: &[Resource<'_>]) -> Value {
    let descriptions = descriptions::Descriptions::unpack();
    let mut definitions = definitions::Definitions::new("#/definitions/", &descriptions);
    let mut all = Map::new();
    for resource in resources {
        definitions.resource(resource);
        paths::resource(resource, paths::Dialect::V2, &mut all);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": all,
        "definitions": definitions.finish(),
    })
}

#[cfg(test)]
mod tests;
