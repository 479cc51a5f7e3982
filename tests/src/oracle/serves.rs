//! What a server advertises, and so which steps are about kinds that it has.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::ask::Server;
use super::corpus;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// What a server says to a path that no kind has: an answer that every server gives alike.
const UNKNOWN_PATH: &str = "the server could not find the requested resource";
const CUSTOM: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");

/// The groups, versions and resources that discovery names, and the names of those that only the recorded server had.
pub(super) struct Serves {
    known: BTreeSet<(String, String, String)>,
    others: BTreeSet<String>,
}

impl Serves {
    pub(super) async fn ask(server: &Server) -> Result<Self> {
        let mut found = BTreeSet::new();
        for root in ["/api", "/apis"] {
            let answer = server.json("GET", root, AGGREGATED, None).await?;
            for group in list(&answer.body, "items") {
                let group_name = group["metadata"]["name"].as_str().unwrap_or_default();
                for version in list(group, "versions") {
                    for resource in list(version, "resources") {
                        found.insert((group_name.to_owned(), text(version, "version"), text(resource, "resource")));
                    }
                }
            }
        }
        let names: BTreeSet<&str> = found.iter().map(|(_, _, resource)| resource.as_str()).collect();
        let others = recorded_resources()?.into_iter().filter(|name| !names.contains(name.as_str())).collect();
        Ok(Self { known: found, others })
    }

    /// True when a step with this path, picked part and recorded answer is about something that the server has.
    pub(super) fn is_asked_about(&self, path: &str, pick: &str, recorded: &Value) -> bool {
        let unknown = recorded["body"]["message"].as_str().is_some_and(|message| message.contains(UNKNOWN_PATH));
        unknown || self.has(path) && self.has_picked(path, pick) && !self.lists_others(path, &recorded["body"])
    }

    /// A document of a whole group that lists kinds which the server has not.
    fn lists_others(&self, path: &str, body: &Value) -> bool {
        let is_document = path.split('/').filter(|part| !part.is_empty()).count() <= 3;
        is_document
            && (path.starts_with("/api/") || path.starts_with("/apis/") || matches!(path, "/api" | "/apis"))
            && names_one_of(body, &self.others)
    }

    /// Documents of all groups are asked for one: `groups[?name=='batch']`, `contains(keys(paths), 'apis/batch/v1')`.
    fn has_picked(&self, path: &str, pick: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        let Some(named) = pick.split('\'').nth(1).filter(|_| matches!(path, "/apis" | "/openapi/v3")) else {
            return true;
        };
        if path == "/apis" { self.has(&format!("/apis/{named}")) } else { self.has(&format!("/{named}")) }
    }

    fn has(&self, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", rest @ ..] => ("", rest),
            ["apis", group, rest @ ..] => (*group, rest),
            _ => return true,
        };
        if is_custom(group) {
            return self.known.contains(&(CUSTOM.0.into(), CUSTOM.1.into(), CUSTOM.2.into()));
        }
        match rest {
            [] => self.known.iter().any(|known| known.0 == group),
            [version] => self.known.iter().any(|known| known.0 == group && known.1 == *version),
            [version, "namespaces", _, resource, ..] if !matches!(*resource, "status" | "finalize") => {
                self.resource(group, version, resource)
            }
            [version, resource, ..] => self.resource(group, version, resource),
        }
    }

    fn resource(&self, group: &str, version: &str, resource: &str) -> bool {
        self.known.contains(&(group.into(), version.into(), resource.into()))
    }
}

/// The names in the recorded documents of groups: `csidrivers`, `componentstatuses`.
fn recorded_resources() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for scenario in corpus::load("discovery/")? {
        scenario.recorded.iter().for_each(|recorded| resources_in(recorded, &mut names));
    }
    Ok(names)
}

fn resources_in(value: &Value, names: &mut BTreeSet<String>) {
    for list in list(value, "resources") {
        let name = list["resource"].as_str().or_else(|| list["name"].as_str());
        names.extend(name.filter(|name| !name.contains('/')).map(str::to_owned));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| resources_in(item, names)),
        Value::Object(fields) => fields.values().for_each(|field| resources_in(field, names)),
        _ => {}
    }
}

fn names_one_of(value: &Value, names: &BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => names.contains(text),
        Value::Array(items) => items.iter().any(|item| names_one_of(item, names)),
        Value::Object(fields) => fields.values().any(|field| names_one_of(field, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Groups of Kubernetes itself end with `.k8s.io` or have no dot.
fn is_custom(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
