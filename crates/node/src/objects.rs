//! The ConfigMaps and Secrets that one pod needs, fetched before anything is decided about them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// An object in the pod's namespace, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    ConfigMap(String),
    Secret(String),
}

/// What was found of what was asked for.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
}

impl Objects {
    pub fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name)
    }

    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    pub fn insert_config_map(&mut self, name: impl Into<String>, map: ConfigMap) {
        self.config_maps.insert(name.into(), map);
    }

    pub fn insert_secret(&mut self, name: impl Into<String>, secret: Secret) {
        self.secrets.insert(name.into(), secret);
    }
}

/// Fetches what exists of `references`. What does not exist is left out; anything else that fails is an error.
pub async fn fetch(
    client: &kube::Client,
    namespace: &str,
    references: &BTreeSet<Reference>,
) -> Result<Objects, kube::Error> {
    let mut objects = Objects::default();
    for reference in references {
        match reference {
            Reference::ConfigMap(name) => {
                let api: kube::Api<ConfigMap> = kube::Api::namespaced(client.clone(), namespace);
                if let Some(map) = api.get_opt(name).await? {
                    objects.insert_config_map(name, map);
                }
            }
            Reference::Secret(name) => {
                let api: kube::Api<Secret> = kube::Api::namespaced(client.clone(), namespace);
                if let Some(secret) = api.get_opt(name).await? {
                    objects.insert_secret(name, secret);
                }
            }
        }
    }
    Ok(objects)
}
