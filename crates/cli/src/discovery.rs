//! Which resource types the server has, and what people call them.

use anyhow::bail;
use serde_json::Value;

use crate::server::Server;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceType {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) verbs: Vec<String>,
    pub(crate) namespaced: bool,
}

impl ResourceType {
    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pod` or `deployment.apps`, as it stands before a slash and a name.
    pub(crate) fn qualified_singular(&self) -> String {
        let singular = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        if self.group.is_empty() { singular } else { format!("{singular}.{}", self.group) }
    }

    /// The path of all of them: in one namespace, or everywhere.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let api_version = self.api_version();
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{api_version}/{}", self.plural),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let called = |name: &str| {
            self.plural == name
                || self.singular == name
                || self.kind.to_lowercase() == name
                || self.short_names.iter().any(|short| short == name)
        };
        let Some((name, suffix)) = name.split_once('.') else { return called(name) };
        let with_version = suffix.split_once('.').is_some_and(|(v, group)| v == self.version && group == self.group);
        called(name) && !self.group.is_empty() && (suffix == self.group || with_version)
            || called(name) && self.group.is_empty() && suffix == self.version
    }
}

/// Every resource type of a server, the preferred version of each group first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery(Vec<ResourceType>);

impl Discovery {
    pub(crate) async fn ask(server: &Server) -> anyhow::Result<Self> {
        let (core, groups) = futures::try_join!(server.get("/api", AGGREGATED), server.get("/apis", AGGREGATED))?;
        Ok(Self::new(&[core, groups]))
    }

    fn new(documents: &[Value]) -> Self {
        let mut types = Vec::new();
        for group in documents.iter().flat_map(|document| array(&document["items"])) {
            for version in array(&group["versions"]) {
                let resources = array(&version["resources"]);
                types.extend(resources.map(|resource| parse(text(&group["metadata"]["name"]), version, resource)));
            }
        }
        Self(types)
    }

    pub(crate) fn all(&self) -> &[ResourceType] {
        &self.0
    }

    /// The type that people call `name`: `po`, `pods`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<&ResourceType> {
        let lower = name.to_lowercase();
        match self.0.iter().find(|known| known.is_called(&lower)) {
            Some(found) => Ok(found),
            None => bail!("the server has no resource type {name:?}; `coracle api-resources` lists those it has"),
        }
    }

    /// The types that `name` stands for: one, or a category (`all`).
    pub(crate) fn find_all(&self, name: &str) -> anyhow::Result<Vec<&ResourceType>> {
        let in_category = |known: &&ResourceType| known.categories.iter().any(|category| category == name);
        let category: Vec<_> = self.0.iter().filter(in_category).collect();
        if category.is_empty() { Ok(vec![self.find(name)?]) } else { Ok(category) }
    }

    /// The type of an object that says what it is.
    pub(crate) fn of(&self, object: &Value) -> anyhow::Result<&ResourceType> {
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        match self.0.iter().find(|known| known.kind == kind && known.api_version() == api_version) {
            Some(found) => Ok(found),
            None => bail!(
                "the server has no kind {kind:?} in version {api_version:?}; `coracle api-resources` lists those it has"
            ),
        }
    }
}

fn parse(group: &str, version: &Value, resource: &Value) -> ResourceType {
    let texts = |field: &str| array(&resource[field]).map(|item| text(item).to_owned()).collect();
    ResourceType {
        group: group.to_owned(),
        version: text(&version["version"]).to_owned(),
        kind: text(&resource["responseKind"]["kind"]).to_owned(),
        plural: text(&resource["resource"]).to_owned(),
        singular: text(&resource["singularResource"]).to_owned(),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        verbs: texts("verbs"),
        namespaced: resource["scope"] == "Namespaced",
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn known() -> Discovery {
        let resource = |plural: &str, kind: &str, short: &str, scope: &str, categories: &[&str]| {
            json!({
                "resource": plural, "responseKind": {"kind": kind}, "singularResource": kind.to_lowercase(),
                "shortNames": [short], "scope": scope, "categories": categories, "verbs": ["get", "list"],
            })
        };
        let core = json!({"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [
            resource("pods", "Pod", "po", "Namespaced", &["all"]), resource("nodes", "Node", "no", "Cluster", &[]),
        ]}]}]});
        let apps = json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
            resource("deployments", "Deployment", "deploy", "Namespaced", &["all"]),
        ]}]}]});
        Discovery::new(&[core, apps])
    }

    #[test]
    fn a_type_has_many_names() {
        let discovery = known();
        for name in ["po", "pod", "pods", "Pod", "PODS", "pods.v1"] {
            assert_eq!(discovery.find(name).unwrap().kind, "Pod", "{name}");
        }
        for name in ["deploy", "deployments.apps", "deploy.v1.apps", "Deployment"] {
            assert_eq!(discovery.find(name).unwrap().kind, "Deployment", "{name}");
        }
        for name in ["podz", "pods.apps", "deployments.v2.apps"] {
            assert!(discovery.find(name).unwrap_err().to_string().contains("coracle api-resources"), "{name}");
        }
        let all: Vec<_> = discovery.find_all("all").unwrap().iter().map(|found| found.qualified_singular()).collect();
        assert_eq!(all, ["pod", "deployment.apps"]);
    }

    #[test]
    fn a_path_has_a_namespace_only_where_there_is_one() {
        let discovery = known();
        let path = |name: &str, namespace| discovery.find(name).unwrap().path(namespace);
        assert_eq!(path("po", Some("a")), "/api/v1/namespaces/a/pods");
        assert_eq!(path("po", None), "/api/v1/pods");
        assert_eq!(path("no", Some("a")), "/api/v1/nodes");
        assert_eq!(path("deploy", Some("a")), "/apis/apps/v1/namespaces/a/deployments");
    }
}
