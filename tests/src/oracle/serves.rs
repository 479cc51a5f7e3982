//! What a server advertises, and so which steps are about kinds that it has.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::ask::Server;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// What a server says to a path that no kind has: an answer that every server gives alike.
const UNKNOWN_PATH: &str = "the server could not find the requested resource";
const CUSTOM: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");

/// The groups, versions and resources that discovery names.
pub(super) struct Serves(BTreeSet<(String, String, String)>);

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
        Ok(Self(found))
    }

    /// True when a step with this path, picked part and recorded answer is about something that the server has.
    pub(super) fn is_asked_about(&self, path: &str, pick: &str, recorded: &Value) -> bool {
        let unknown = recorded["body"]["message"].as_str().is_some_and(|message| message.contains(UNKNOWN_PATH));
        unknown || self.has(path) && self.has_picked(path, pick)
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
            return self.0.contains(&(CUSTOM.0.into(), CUSTOM.1.into(), CUSTOM.2.into()));
        }
        match rest {
            [] => self.0.iter().any(|known| known.0 == group),
            [version] => self.0.iter().any(|known| known.0 == group && known.1 == *version),
            [version, "namespaces", _, resource, ..] if !matches!(*resource, "status" | "finalize") => {
                self.resource(group, version, resource)
            }
            [version, resource, ..] => self.resource(group, version, resource),
        }
    }

    fn resource(&self, group: &str, version: &str, resource: &str) -> bool {
        self.0.contains(&(group.into(), version.into(), resource.into()))
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
