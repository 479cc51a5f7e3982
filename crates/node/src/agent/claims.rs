//! Gives pods the directories of their claims, and removes those whose volumes are gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_stdx::CancellationToken;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use kube::{Api, Client};
use tracing::{info, warn};

use crate::error::chain;
use crate::volumes::{claim_of, directory_of, is_retained, volume_of};

/// How often directories are compared with volumes.
const INTERVAL: Duration = Duration::from_secs(30);
/// Ends the name of a file that says that a volume's data outlives the volume.
const KEEP: &str = ".keep";

/// The directory behind a pod's volume when that is a claim; or in words why there is none.
pub(super) async fn directory(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    all: &Path,
) -> Option<Result<PathBuf, String>> {
    let name = claim_of(pod, volume)?;
    Some(find(client, pod.metadata.namespace.as_deref().unwrap_or_default(), &name, all).await)
}

async fn find(client: &Client, namespace: &str, name: &str, all: &Path) -> Result<PathBuf, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await.map_err(|error| chain(&error))?;
    let volume_name = volume_of(name, claim.as_ref()).map_err(|error| error.to_string())?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(&volume_name).await.map_err(|error| chain(&error))?;
    let directory = directory_of(&volume_name, volume.as_ref(), all).map_err(|error| error.to_string())?;
    let retained = volume.as_ref().is_some_and(is_retained);
    let made = directory.clone();
    let make = move || make(&made, retained);
    let made = tokio::task::spawn_blocking(make).await.expect("making a directory does not panic");
    made.map_err(|error| format!("make {}: {error}", directory.display()))?;
    Ok(directory)
}

fn make(directory: &Path, retained: bool) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    mark(directory, retained)
}

/// Notes whether the data is to be kept.
fn mark(directory: &Path, retained: bool) -> io::Result<()> {
    let marker = marker(directory);
    match (retained, marker.exists()) {
        (true, false) => fs::write(marker, b""),
        (false, true) => fs::remove_file(marker),
        (true, true) | (false, false) => Ok(()),
    }
}

fn marker(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(KEEP);
    directory.with_file_name(name)
}

/// Lets `link` lead to the claim's directory. Removing the pod's directory removes the link alone.
pub(super) fn link(link: &Path, directory: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|present| present == directory) {
        return Ok(());
    }
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)?;
    }
    if link.is_symlink() {
        fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(directory, link)
}

/// Removes directories whose volumes are gone, until the token is cancelled.
pub(crate) async fn clean(client: Client, all: PathBuf, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let listed = all.clone();
        let list = move || directories(&listed);
        let found = tokio::task::spawn_blocking(list).await.expect("listing directories does not panic");
        for directory in found {
            if token.run_until_cancelled(look_at(&client, directory)).await.is_none() {
                return;
            }
        }
    }
}

fn directories(all: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

async fn look_at(client: &Client, directory: PathBuf) {
    let Some(name) = directory.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { return };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    // While the API does not answer, nothing is known to be gone.
    let Ok(volume) = volumes.get_opt(&name).await else { return };
    let settle = move || match volume {
        Some(volume) => mark(&directory, is_retained(&volume)),
        None if marker(&directory).exists() => Ok(()),
        None => {
            info!(volume = %directory.display(), "removed a volume's data");
            fs::remove_dir_all(&directory)
        }
    };
    let settled = tokio::task::spawn_blocking(settle).await.expect("removing a directory does not panic");
    if let Err(error) = settled {
        warn!(volume = name, error = &error as &dyn std::error::Error, "volume not cleared away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_goes_leaves_the_data_of_its_claim() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, pod) = (dir.path().join("volumes/pvc-1"), dir.path().join("pods/p/volumes"));
        make(&volume, false).unwrap();
        fs::write(volume.join("kept"), b"1").unwrap();
        for _ in 0..2 {
            link(&pod.join("data"), &volume).unwrap();
        }
        assert!(pod.join("data/kept").exists());
        fs::remove_dir_all(dir.path().join("pods")).unwrap();
        assert!(volume.join("kept").exists());
    }

    #[test]
    fn what_is_to_be_kept_is_marked_beside_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("pvc-1");
        make(&volume, true).unwrap();
        assert!(dir.path().join("pvc-1.keep").exists());
        assert_eq!(directories(dir.path()), [volume.as_path()]);
        mark(&volume, false).unwrap();
        assert!(!dir.path().join("pvc-1.keep").exists());
    }
}
