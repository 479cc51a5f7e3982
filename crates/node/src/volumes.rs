//! A pod's volumes: what they hold is decided from plain values, then written below the pod's directory. Volumes that a
//! sandbox cannot have are refused in words.

mod claims;
mod files;
mod later;
mod mounts;
mod payload;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;

pub use claims::{ClaimError, claim_of, directory_of, is_retained, volume_of};
pub use files::{create, write};
pub use later::{Later, Work};
pub use mounts::{Directories, add_etc, looks, mounts};
pub use payload::{File, Files, Materials, Token, payload};

use crate::objects::Reference;

const TOKEN_LIFETIME_S: i64 = 3600;
/// A token is renewed when this share of its life is over.
const TOKEN_RENEWED_AT: f64 = 0.8;

/// Why a volume cannot be given to the pod, in kubelet's words where it has any.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("configmap \"{0}\" not found")]
    NoConfigMap(String),
    #[error("secret \"{0}\" not found")]
    NoSecret(String),
    #[error("{kind} references non-existent {key_kind} key: {key}")]
    NoKey { kind: &'static str, key_kind: &'static str, key: String },
    #[error(transparent)]
    Field(#[from] crate::environment::Error),
    #[error("{0} volumes cannot be given to a wasm sandbox")]
    Unsupported(&'static str),
    #[error("there is no volume \"{0}\"")]
    NoVolume(String),
    #[error("path {0:?} leads out of its volume")]
    Path(String),
    #[error("write {path}")]
    Write { path: String, source: std::io::Error },
}

/// What a volume is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Empty,
    /// Files that the node writes and may renew.
    Written,
    /// A directory that outlives the pod.
    Claim,
    /// By its name in the API.
    Unsupported(&'static str),
}

impl Source {
    pub fn of(volume: &core::Volume) -> Self {
        if volume.empty_dir.is_some() {
            return Self::Empty;
        }
        if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
            return Self::Claim;
        }
        let written = volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.downward_api.is_some()
            || volume.projected.is_some();
        if written { Self::Written } else { Self::Unsupported(unsupported(volume)) }
    }
}

fn unsupported(volume: &core::Volume) -> &'static str {
    let kinds = [
        (volume.host_path.is_some(), "hostPath"),
        (volume.csi.is_some(), "csi"),
        (volume.nfs.is_some(), "nfs"),
        (volume.image.is_some(), "image"),
        (volume.iscsi.is_some(), "iscsi"),
    ];
    kinds.into_iter().find(|(is, _)| *is).map_or("such", |(_, kind)| kind)
}

/// The ConfigMaps and Secrets that a pod's volumes are made from.
pub fn references(spec: &core::PodSpec) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    for volume in spec.volumes.iter().flatten() {
        found.extend(volume.config_map.as_ref().map(|source| Reference::ConfigMap(source.name.clone())));
        found.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()).map(Reference::Secret));
        for source in projections(volume) {
            found.extend(source.config_map.as_ref().map(|source| Reference::ConfigMap(source.name.clone())));
            found.extend(source.secret.as_ref().map(|source| Reference::Secret(source.name.clone())));
        }
    }
    found
}

/// A service-account token that a volume asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenWish {
    pub audience: Option<String>,
    pub lifetime_s: i64,
}

impl TokenWish {
    fn of(source: &core::ServiceAccountTokenProjection) -> Self {
        Self {
            audience: source.audience.clone().filter(|audience| !audience.is_empty()),
            lifetime_s: source.expiration_seconds.unwrap_or(TOKEN_LIFETIME_S),
        }
    }

    /// When a token of this kind is to be renewed, after it was made.
    pub fn renewed_after(&self) -> Duration {
        Duration::from_secs(self.lifetime_s.max(0).unsigned_abs()).mul_f64(TOKEN_RENEWED_AT)
    }
}

/// The tokens that a pod's volumes ask for.
pub fn tokens(spec: &core::PodSpec) -> BTreeSet<TokenWish> {
    let sources = spec.volumes.iter().flatten().flat_map(projections);
    sources.filter_map(|source| source.service_account_token.as_ref()).map(TokenWish::of).collect()
}

fn projections(volume: &core::Volume) -> impl Iterator<Item = &core::VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

/// True when a volume's files may change while the pod runs, apart from its tokens and the cluster's own certificate.
pub fn may_change(spec: &core::PodSpec) -> bool {
    let annotated = |source: &core::DownwardAPIVolumeFile| source.field_ref.is_some();
    let certificate = Reference::ConfigMap("kube-root-ca.crt".to_owned());
    let downward = spec.volumes.iter().flatten().any(|volume| {
        let own = volume.downward_api.iter().flat_map(|source| source.items.iter().flatten());
        own.into_iter().any(annotated)
    });
    downward || references(spec).iter().any(|reference| *reference != certificate)
}
