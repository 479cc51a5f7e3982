//! A pod's volumes: their names, and that each has exactly one source.

use std::collections::BTreeMap;

use super::{Cursor, Errors, volume_sources};
use crate::names;

/// The volumes of one pod, by name.
#[derive(Debug, Default)]
pub(super) struct Volumes<'v>(BTreeMap<&'v str, bool>);

impl Volumes<'_> {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether the volume may be used as a block device.
    pub(super) fn is_claim(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or_default()
    }
}

pub(super) fn volumes<'v>(at: Cursor<'_, 'v>, pod: &str, errors: &mut Errors) -> Volumes<'v> {
    let mut known = Volumes::default();
    for volume in at.items() {
        let before = errors.len();
        source(volume, pod, errors);
        let name = volume.field("name");
        if name.str().is_empty() {
            errors.push(name.required(""));
        } else {
            errors.extend(names::dns_label(name.str()).iter().map(|problem| name.invalid(problem)));
        }
        if known.contains(name.str()) {
            errors.push(name.duplicate());
        }
        if errors.len() == before {
            let claim = !volume.get("persistentVolumeClaim").is_null() || !volume.get("ephemeral").is_null();
            known.0.insert(name.str(), claim);
        }
    }
    known
}

fn source(volume: Cursor<'_, '_>, pod: &str, errors: &mut Errors) {
    let given = volume.value().as_object().into_iter().flatten();
    let mut given: Vec<&str> = given.filter(|(f, v)| *f != "name" && !v.is_null()).map(|(f, _)| f.as_str()).collect();
    given.sort_by_key(|field| volume_sources::ORDER.iter().position(|known| known == field));
    let Some((first, others)) = given.split_first() else {
        errors.push(volume.required("must specify a volume type"));
        return;
    };
    volume_sources::check(first, volume.field(first), errors);
    for other in others {
        errors.push(volume.field(other).forbidden("may not specify more than 1 volume type"));
    }
    if given.contains(&"ephemeral") {
        claim_name(volume, pod, errors);
    }
}

/// The claim of an ephemeral volume is named after both.
fn claim_name(volume: Cursor<'_, '_>, pod: &str, errors: &mut Errors) {
    let name = volume.field("name");
    if pod.is_empty() || name.str().is_empty() {
        return;
    }
    let claim = format!("{pod}-{}", name.str());
    for problem in names::dns_subdomain(&claim) {
        errors.push(name.invalid_value(name.str(), &format!("PVC name \"{claim}\": {problem}")));
    }
}
