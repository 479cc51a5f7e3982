//! Which directories of the host a container's guest sees, and where. A guest can be given directories only: a single
//! file (`subPath`) is given as a directory that holds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_runtime::Mount;
use k8s_openapi::api::core::v1 as core;

use super::payload::is_inside;
use super::{Error, Later, Source, Work};
use crate::environment::expand;

/// Where a pod's volumes are on the host.
#[derive(Clone, Debug)]
pub struct Directories {
    /// One directory per volume, by name.
    pub volumes: PathBuf,
    /// Directories for single files, one per container and mount point.
    pub singles: PathBuf,
    /// What is not there yet.
    pub later: Arc<Later>,
}

impl Directories {
    /// Those below the directory of a pod.
    pub fn below(dir: &Path) -> Self {
        Self { volumes: dir.join("volumes"), singles: dir.join("singles"), later: Arc::default() }
    }

    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes.join(name)
    }
}

/// True when the mounts of `container` depend on what is in its volumes: then these must have been looked at.
pub fn looks(container: &core::Container) -> bool {
    let given = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
    container.volume_mounts.iter().flatten().any(|mount| given(&mount.sub_path) || given(&mount.sub_path_expr))
}

/// The mounts of `container`. Creates what a `subPath` names and an empty volume does not have yet.
pub fn mounts(
    spec: &core::PodSpec,
    container: &core::Container,
    variables: &[(String, String)],
    directories: &Directories,
) -> Result<Vec<Mount>, Error> {
    let mut mounts: Vec<Mount> = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let named = |volume: &&core::Volume| volume.name == wanted.name;
        let volume = spec.volumes.iter().flatten().find(named).ok_or_else(|| Error::NoVolume(wanted.name.clone()))?;
        let claim = volume.persistent_volume_claim.as_ref();
        let read_only = wanted.read_only == Some(true)
            || Source::of(volume) == Source::Written
            || claim.is_some_and(|claim| claim.read_only == Some(true));
        let root = directories.volume(&volume.name);
        let host = match sub_path(wanted, variables)? {
            Some(path) => below(&root, &path, !read_only)?,
            None => root,
        };
        let mount = Mount { host, guest: wanted.mount_path.clone(), read_only };
        let mount = if mount.host.is_file() { single(mount, &container.name, directories)? } else { mount };
        if !mounts.iter().any(|known| known.guest == mount.guest) {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn sub_path(wanted: &core::VolumeMount, variables: &[(String, String)]) -> Result<Option<String>, Error> {
    let value_of = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let expanded = wanted.sub_path_expr.as_deref().filter(|path| !path.is_empty()).map(|path| expand(path, value_of));
    let path = expanded.or_else(|| wanted.sub_path.clone()).filter(|path| !path.is_empty());
    match path {
        Some(path) if !is_inside(&path) => Err(Error::Path(path)),
        path => Ok(path),
    }
}

fn below(root: &Path, path: &str, create: bool) -> Result<PathBuf, Error> {
    let host = root.join(path);
    let failed = |source| Error::Write { path: host.display().to_string(), source };
    if create && !host.exists() {
        fs::create_dir_all(&host).map_err(failed)?;
    }
    // A guest may have put a link there: it must not lead out of the volume.
    let real = host.canonicalize().map_err(failed)?;
    let root = root.canonicalize().map_err(failed)?;
    if real.starts_with(root) { Ok(real) } else { Err(Error::Path(path.to_owned())) }
}

/// A directory that holds the one file, under the name that the mount path gives it.
fn single(mount: Mount, container: &str, directories: &Directories) -> Result<Mount, Error> {
    let guest = Path::new(&mount.guest);
    let (Some(parent), Some(name)) = (guest.parent(), guest.file_name()) else {
        return Err(Error::Path(mount.guest));
    };
    let flat = parent.to_string_lossy().replace('/', "~");
    let dir = directories.singles.join(container).join(flat);
    let failed = |source| Error::Write { path: dir.display().to_string(), source };
    fs::create_dir_all(&dir).map_err(failed)?;
    let target = dir.join(name);
    let _ = fs::remove_file(&target);
    if mount.read_only {
        fs::copy(&mount.host, target).map_err(failed)?;
    } else {
        fs::hard_link(&mount.host, target).map_err(failed)?;
    }
    Ok(Mount { host: dir.clone(), guest: parent.to_string_lossy().into_owned(), read_only: mount.read_only })
}

/// Adds `/etc` with these files, unless the pod has a volume there. A single file that the pod has there goes before.
/// Returns how that directory is made.
pub fn add_etc(
    mounts: &mut Vec<Mount>,
    container: &str,
    files: Vec<(&'static str, String)>,
    directories: &Directories,
) -> Option<(PathBuf, Work)> {
    let dir = directories.singles.join(container).join("~etc");
    let own = mounts.iter().position(|mount| mount.guest.trim_end_matches('/') == "/etc");
    if own.is_some_and(|own| mounts[own].host != dir) {
        return None;
    }
    let is_shared = own.is_some();
    if !is_shared {
        mounts.push(Mount { host: dir.clone(), guest: "/etc".to_owned(), read_only: true });
    }
    let at = dir.clone();
    Some((dir, Box::new(move || write_etc(&at, &files, is_shared))))
}

/// Writes the files; in a directory that the pod's own share, only those that are not there.
fn write_etc(dir: &Path, files: &[(&'static str, String)], is_shared: bool) -> Result<(), Error> {
    let failed = |source| Error::Write { path: dir.display().to_string(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    for (name, text) in files {
        let path = dir.join(name);
        if !is_shared || !path.exists() {
            fs::write(&path, text).map_err(failed)?;
        }
    }
    Ok(())
}
