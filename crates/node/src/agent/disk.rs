//! How much of the machine's disk a pod may take, and how much it takes: the sizes of its `emptyDir` volumes, and the
//! `ephemeral-storage` limits of its containers, whose logs and own files count.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use coracle_api::quantity::Quantity;
use k8s_openapi::api::core::v1 as core;

use crate::containers;
use crate::volumes::Directories;

/// How often a pod with such limits is measured.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// As `st_blocks` counts.
const BLOCK_BYTES: u64 = 512;

/// What a pod may take.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    volumes: BTreeMap<String, Bound>,
    containers: BTreeMap<String, Bound>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bound {
    bytes: u64,
    /// As the spec says it.
    text: String,
}

/// What a pod takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taken {
    volumes: BTreeMap<String, u64>,
    containers: BTreeMap<String, u64>,
}

impl Bounds {
    /// `None` when the pod may take what there is.
    pub(super) fn of(spec: &core::PodSpec) -> Option<Self> {
        let volumes = spec.volumes.iter().flatten().filter_map(|volume| {
            let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
            Some((volume.name.clone(), bound(&limit.0)?))
        });
        let containers = containers::all(spec).into_iter().filter_map(|container| {
            let limits = container.resources.as_ref()?.limits.as_ref()?;
            Some((container.name.clone(), bound(&limits.get("ephemeral-storage")?.0)?))
        });
        let bounds = Self { volumes: volumes.collect(), containers: containers.collect() };
        (bounds != Self::default()).then_some(bounds)
    }

    /// Why the pod must go, in kubelet's words, when it has taken too much.
    pub(super) fn exceeded(&self, taken: &Taken) -> Option<String> {
        for (name, bound) in &self.volumes {
            if taken.volumes.get(name).is_some_and(|bytes| *bytes > bound.bytes) {
                return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{}\". ", bound.text));
            }
        }
        let total: u64 = self.containers.values().map(|bound| bound.bytes).sum();
        let all: u64 = taken.volumes.values().chain(taken.containers.values()).sum();
        if !self.containers.is_empty() && all > total {
            let total = Quantity::from_bytes(i64::try_from(total).unwrap_or(i64::MAX));
            return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "));
        }
        self.containers.iter().find_map(|(name, bound)| {
            let is_over = taken.containers.get(name).is_some_and(|bytes| *bytes > bound.bytes);
            is_over.then(|| format!("Container {name} exceeded its local ephemeral storage limit \"{}\". ", bound.text))
        })
    }
}

fn bound(text: &str) -> Option<Bound> {
    let quantity: Quantity = text.parse().ok()?;
    let bytes = u64::try_from(quantity.value()).ok().filter(|bytes| *bytes > 0)?;
    Some(Bound { bytes, text: quantity.to_string() })
}

/// Looks at what the pod has written. Blocking.
pub(super) fn measure(spec: &core::PodSpec, directories: &Directories, logs: &Path) -> Taken {
    let empty = spec.volumes.iter().flatten().filter(|volume| volume.empty_dir.is_some());
    let volumes = empty.map(|volume| (volume.name.clone(), size_of(&directories.volume(&volume.name))));
    let own = |name: &str| size_of(&logs.join(name)) + size_of(&directories.singles.join(name));
    let containers = containers::all(spec).into_iter().map(|container| {
        let bytes = own(&container.name);
        (container.name, bytes)
    });
    Taken { volumes: volumes.collect(), containers: containers.collect() }
}

/// The bytes on disk below `path`. Links are not followed.
fn size_of(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        bytes += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> core::PodSpec {
        let container =
            |name: &str, limit: &str| json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}});
        serde_json::from_value(json!({
            "containers": [container("a", "1Mi"), container("b", "2Mi")],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "w", "emptyDir": {}}],
        }))
        .unwrap()
    }

    fn told(volumes: &[(&str, u64)], containers: &[(&str, u64)]) -> Option<String> {
        let kib = |all: &[(&str, u64)]| all.iter().map(|(name, kib)| ((*name).to_owned(), kib << 10)).collect();
        Bounds::of(&spec()).unwrap().exceeded(&Taken { volumes: kib(volumes), containers: kib(containers) })
    }

    #[test]
    fn a_pod_goes_when_a_volume_a_container_or_all_together_are_too_large() {
        assert_eq!(told(&[("v", 1024), ("w", 1)], &[("a", 1024)]), None);
        let why = told(&[("v", 1025)], &[]).unwrap();
        assert_eq!(why, "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
        let why = told(&[("w", 3000)], &[("a", 100)]).unwrap();
        assert_eq!(why, "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ");
        let why = told(&[], &[("a", 1025)]).unwrap();
        assert_eq!(why, "Container a exceeded its local ephemeral storage limit \"1Mi\". ");
        assert_eq!(Bounds::of(&core::PodSpec::default()), None);
    }

    #[test]
    fn what_is_written_is_measured_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let directories = Directories::below(dir.path());
        fs::create_dir_all(directories.volume("v").join("below")).unwrap();
        fs::write(directories.volume("v").join("below/file"), vec![1; 100 << 10]).unwrap();
        std::os::unix::fs::symlink("/", directories.volume("v").join("all")).unwrap();
        let taken = measure(&spec(), &directories, &dir.path().join("logs"));
        assert!((100 << 10..200 << 10).contains(&taken.volumes["v"]), "{taken:?}");
        assert_eq!(taken.containers["a"], 0);
    }
}
