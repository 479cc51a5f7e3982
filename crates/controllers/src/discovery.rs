//! Which kinds the API serves, as the loops over all kinds need to know. It caches nothing.

use kube::Client;
use kube::client::{APIGroupDiscoveryList, APIResourceDiscovery};
use kube::core::ApiResource;

use crate::Error;

/// One kind, and what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) resource: ApiResource,
    pub(crate) is_namespaced: bool,
    pub(crate) verbs: Vec<String>,
}

impl Served {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }
}

/// Every kind in the version that its group prefers.
pub(crate) async fn served(client: &Client) -> Result<Vec<Served>, Error> {
    let failed = |error| Error::Discovery(Box::new(error));
    let core = client.list_core_api_versions_aggregated().await.map_err(failed)?;
    let groups = client.list_api_groups_aggregated().await.map_err(failed)?;
    Ok(of_list(&core).chain(of_list(&groups)).collect())
}

fn of_list(list: &APIGroupDiscoveryList) -> impl Iterator<Item = Served> + '_ {
    list.items.iter().flat_map(|group| {
        let name = group.metadata.as_ref().and_then(|meta| meta.name.clone()).unwrap_or_default();
        // The first version is the preferred one; a kind that it lacks is found in a later one.
        let mut seen = std::collections::HashSet::new();
        let mut all = Vec::new();
        for version in &group.versions {
            let number = version.version.clone().unwrap_or_default();
            for resource in &version.resources {
                if seen.insert(resource.resource.clone()) {
                    all.extend(of_resource(&name, &number, resource));
                }
            }
        }
        all
    })
}

fn of_resource(group: &str, version: &str, resource: &APIResourceDiscovery) -> Option<Served> {
    let kind = resource.response_kind.as_ref()?;
    let plural = resource.resource.clone()?;
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(Served {
        resource: ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.kind.clone().unwrap_or_default(),
            plural,
        },
        is_namespaced: resource.scope.as_deref() == Some("Namespaced"),
        verbs: resource.verbs.clone(),
    })
}
