//! What a container's guest finds in its environment and command line, assembled exactly as kubelet does. Pure: what
//! must be fetched first is named by [`references`].

mod downward;
mod expansion;
mod services;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;

pub use downward::{Facts, field, resource};
pub use expansion::expand;
pub use services::service_variables;

use crate::objects::{Objects, Reference};

/// Why a container cannot be given its environment, in kubelet's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("configmap \"{0}\" not found")]
    NoConfigMap(String),
    #[error("secret \"{0}\" not found")]
    NoSecret(String),
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    NoConfigMapKey { namespace: String, name: String, key: String },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    NoSecretKey { namespace: String, name: String, key: String },
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    #[error("unsupported container resource: {0}")]
    Resource(String),
    #[error("container {0} not found in pod")]
    NoContainer(String),
    #[error("environment variable {0} comes from a source that this node does not offer")]
    Source(String),
}

/// A container's environment and command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub variables: Vec<(String, String)>,
    pub args: Vec<String>,
}

/// The ConfigMaps and Secrets that a container's environment is made from.
pub fn references(container: &core::Container) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    for source in container.env_from.iter().flatten() {
        found.extend(source.config_map_ref.as_ref().map(|named| Reference::ConfigMap(named.name.clone())));
        found.extend(source.secret_ref.as_ref().map(|named| Reference::Secret(named.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.extend(source.config_map_key_ref.as_ref().map(|key| Reference::ConfigMap(key.name.clone())));
        found.extend(source.secret_key_ref.as_ref().map(|key| Reference::Secret(key.name.clone())));
    }
    found
}

/// Puts together what the guest finds. Later variables win over earlier ones, and all win over those of services.
pub fn assemble(
    facts: &Facts<'_>,
    container: &core::Container,
    objects: &Objects,
    services: Vec<(String, String)>,
) -> Result<Environment, Error> {
    let mut variables = Variables { own: Vec::new(), services };
    for source in container.env_from.iter().flatten() {
        from_object(facts, source, objects, &mut variables)?;
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(facts, container, variable, objects, &variables)? {
            variables.set(variable.name.clone(), value);
        }
    }
    let args = args(container, &variables);
    Ok(Environment { variables: variables.all(), args })
}

struct Variables {
    own: Vec<(String, String)>,
    services: Vec<(String, String)>,
}

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.own.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.own.push((name, value)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.own.iter().chain(&self.services);
        all.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn all(self) -> Vec<(String, String)> {
        let Self { mut own, services } = self;
        let names: BTreeSet<String> = own.iter().map(|(name, _)| name.clone()).collect();
        own.extend(services.into_iter().filter(|(name, _)| !names.contains(name)));
        own
    }
}

fn from_object(
    facts: &Facts<'_>,
    source: &core::EnvFromSource,
    objects: &Objects,
    variables: &mut Variables,
) -> Result<(), Error> {
    let entries = if let Some(named) = &source.config_map_ref {
        match objects.config_map(&named.name) {
            Some(map) => map.data.clone().unwrap_or_default().into_iter().collect(),
            None if named.optional == Some(true) => Vec::new(),
            None => return Err(Error::NoConfigMap(named.name.clone())),
        }
    } else if let Some(named) = &source.secret_ref {
        match objects.secret(&named.name) {
            Some(secret) => secret.data.iter().flatten().map(|(key, value)| (key.clone(), text(&value.0))).collect(),
            None if named.optional == Some(true) => Vec::new(),
            None => return Err(Error::NoSecret(named.name.clone())),
        }
    } else {
        return Err(Error::Source(format!("of pod {}", facts.name())));
    };
    let prefix = source.prefix.as_deref().unwrap_or_default();
    for (key, value) in entries {
        variables.set(format!("{prefix}{key}"), value);
    }
    Ok(())
}

/// The value of one variable; `None` when what it comes from is optional and missing.
fn value_of(
    facts: &Facts<'_>,
    container: &core::Container,
    variable: &core::EnvVar,
    objects: &Objects,
    variables: &Variables,
) -> Result<Option<String>, Error> {
    let Some(source) = &variable.value_from else {
        let value = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(value, |name| variables.get(name))));
    };
    if let Some(field_ref) = &source.field_ref {
        return field(facts, &field_ref.field_path).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let container = match &selector.container_name {
            Some(name) => facts.container(name).ok_or_else(|| Error::NoContainer(name.clone()))?,
            None => container,
        };
        return resource(facts, container, selector).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        return config_map_key(facts, key, objects);
    }
    if let Some(key) = &source.secret_key_ref {
        return secret_key(facts, key, objects);
    }
    Err(Error::Source(variable.name.clone()))
}

fn config_map_key(
    facts: &Facts<'_>,
    selector: &core::ConfigMapKeySelector,
    objects: &Objects,
) -> Result<Option<String>, Error> {
    let optional = selector.optional == Some(true);
    let Some(map) = objects.config_map(&selector.name) else {
        return if optional { Ok(None) } else { Err(Error::NoConfigMap(selector.name.clone())) };
    };
    match map.data.iter().flatten().find(|(key, _)| **key == selector.key) {
        Some((_, value)) => Ok(Some(value.clone())),
        None if optional => Ok(None),
        None => Err(Error::NoConfigMapKey {
            namespace: facts.namespace().to_owned(),
            name: selector.name.clone(),
            key: selector.key.clone(),
        }),
    }
}

fn secret_key(
    facts: &Facts<'_>,
    selector: &core::SecretKeySelector,
    objects: &Objects,
) -> Result<Option<String>, Error> {
    let optional = selector.optional == Some(true);
    let Some(secret) = objects.secret(&selector.name) else {
        return if optional { Ok(None) } else { Err(Error::NoSecret(selector.name.clone())) };
    };
    match secret.data.iter().flatten().find(|(key, _)| **key == selector.key) {
        Some((_, value)) => Ok(Some(text(&value.0))),
        None if optional => Ok(None),
        None => Err(Error::NoSecretKey {
            namespace: facts.namespace().to_owned(),
            name: selector.name.clone(),
            key: selector.key.clone(),
        }),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The guest's command line: the command, or the container's name where there is none, and the arguments.
fn args(container: &core::Container, variables: &Variables) -> Vec<String> {
    let command = container.command.clone().filter(|command| !command.is_empty());
    let command = command.unwrap_or_else(|| vec![container.name.clone()]);
    let words = command.iter().chain(container.args.iter().flatten());
    words.map(|word| expand(word, |name| variables.get(name))).collect()
}
