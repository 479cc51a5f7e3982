//! What the files of a volume hold. Pure.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use k8s_openapi::api::core::v1 as core;

use super::{Error, TokenWish};
use crate::environment::{Facts, field, resource};
use crate::objects::Objects;

const MODE_DEFAULT: i32 = 0o644;

/// A volume's files by their paths in it.
pub type Files = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
}

/// A service-account token.
pub type Token = String;

/// Everything that a payload is made from.
#[derive(Clone, Copy, Debug)]
pub struct Materials<'a> {
    pub facts: Facts<'a>,
    pub objects: &'a Objects,
    pub tokens: &'a HashMap<TokenWish, Token>,
}

/// The files of a volume that the node writes.
pub fn payload(volume: &core::Volume, materials: Materials<'_>) -> Result<Files, Error> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let optional = source.optional == Some(true);
        config_map(&source.name, &source.items, optional, source.default_mode, materials, &mut files)?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(name, &source.items, source.optional == Some(true), source.default_mode, materials, &mut files)?;
    } else if let Some(source) = &volume.downward_api {
        downward(&source.items, source.default_mode, materials, &mut files)?;
    } else if let Some(source) = &volume.projected {
        for part in source.sources.iter().flatten() {
            projected(part, source.default_mode, materials, &mut files)?;
        }
    }
    match files.keys().find(|path| !is_inside(path)) {
        Some(path) => Err(Error::Path(path.clone())),
        None => Ok(files),
    }
}

/// True for a relative path that never climbs.
pub(super) fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn projected(
    part: &core::VolumeProjection,
    mode: Option<i32>,
    materials: Materials<'_>,
    files: &mut Files,
) -> Result<(), Error> {
    if let Some(source) = &part.config_map {
        return config_map(&source.name, &source.items, source.optional == Some(true), mode, materials, files);
    }
    if let Some(source) = &part.secret {
        return secret(&source.name, &source.items, source.optional == Some(true), mode, materials, files);
    }
    if let Some(source) = &part.downward_api {
        return downward(&source.items, mode, materials, files);
    }
    if let Some(source) = &part.service_account_token {
        let token = materials.tokens.get(&TokenWish::of(source)).cloned().unwrap_or_default();
        put(files, &source.path, token.into_bytes(), None, mode);
        return Ok(());
    }
    Err(Error::Unsupported("projected clusterTrustBundle and podCertificate"))
}

fn config_map(
    name: &str,
    items: &Option<Vec<core::KeyToPath>>,
    optional: bool,
    mode: Option<i32>,
    materials: Materials<'_>,
    files: &mut Files,
) -> Result<(), Error> {
    let Some(map) = materials.objects.config_map(name) else {
        return if optional { Ok(()) } else { Err(Error::NoConfigMap(name.to_owned())) };
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let missing = |key: &str| Error::NoKey { kind: "configmap", key_kind: "config", key: key.to_owned() };
    keyed(text.chain(binary).collect(), items, optional, mode, missing, files)
}

fn secret(
    name: &str,
    items: &Option<Vec<core::KeyToPath>>,
    optional: bool,
    mode: Option<i32>,
    materials: Materials<'_>,
    files: &mut Files,
) -> Result<(), Error> {
    let Some(secret) = materials.objects.secret(name) else {
        return if optional { Ok(()) } else { Err(Error::NoSecret(name.to_owned())) };
    };
    let entries = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let missing = |key: &str| Error::NoKey { kind: "secret", key_kind: "secret", key: key.to_owned() };
    keyed(entries.collect(), items, optional, mode, missing, files)
}

fn keyed(
    entries: BTreeMap<&str, &[u8]>,
    items: &Option<Vec<core::KeyToPath>>,
    optional: bool,
    mode: Option<i32>,
    missing: impl Fn(&str) -> Error,
    files: &mut Files,
) -> Result<(), Error> {
    let Some(items) = items.as_ref().filter(|items| !items.is_empty()) else {
        for (key, content) in entries {
            put(files, key, content.to_vec(), None, mode);
        }
        return Ok(());
    };
    for item in items {
        match entries.get(item.key.as_str()) {
            Some(content) => put(files, &item.path, content.to_vec(), item.mode, mode),
            None if optional => {}
            None => return Err(missing(&item.key)),
        }
    }
    Ok(())
}

fn downward(
    items: &Option<Vec<core::DownwardAPIVolumeFile>>,
    mode: Option<i32>,
    materials: Materials<'_>,
    files: &mut Files,
) -> Result<(), Error> {
    let facts = &materials.facts;
    for item in items.iter().flatten() {
        let content = if let Some(source) = &item.field_ref {
            field(facts, &source.field_path)?
        } else if let Some(source) = &item.resource_field_ref {
            let name = source.container_name.as_deref().unwrap_or_default();
            let container =
                facts.container(name).ok_or_else(|| crate::environment::Error::NoContainer(name.to_owned()))?;
            resource(facts, container, source)?
        } else {
            String::new()
        };
        put(files, &item.path, content.into_bytes(), item.mode, mode);
    }
    Ok(())
}

fn put(files: &mut Files, path: &str, content: Vec<u8>, own: Option<i32>, default: Option<i32>) {
    let mode = own.or(default).unwrap_or(MODE_DEFAULT);
    files.insert(path.to_owned(), File { content, mode: u32::try_from(mode).unwrap_or(0o644) & 0o777 });
}
