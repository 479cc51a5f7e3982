//! The addresses that a pod has, written into its own directory before anybody hears of them: a node that is killed gives
//! them to the pod again, though the API may not have been told of them yet.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use tracing::warn;

const FILE: &str = "addresses.json";

/// Writes what the pod of `dir` has.
pub(super) async fn write(dir: &Path, addresses: &[IpAddr]) {
    let (dir, bytes) = (dir.to_owned(), serde_json::to_vec(addresses).expect("addresses are JSON"));
    let write = move || {
        let written = std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join(FILE), bytes));
        if let Err(error) = written {
            warn!(path = %dir.display(), error = &error as &dyn std::error::Error, "pod's addresses not kept");
        }
    };
    tokio::task::spawn_blocking(write).await.expect("writing a file does not panic");
}

/// What was written. A file that was torn is none.
pub(super) fn read(dir: &Path) -> Option<Vec<IpAddr>> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
}

/// The pod has none any more.
pub(super) fn remove(dir: &Path) {
    match std::fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %dir.display(), error = &error as &dyn std::error::Error, "pod's addresses not forgotten");
        }
        Ok(()) | Err(_) => {}
    }
}

/// What the pod had before the node was restarted: what was written, or else what the API was told. A pod that has ended
/// needs none.
pub(super) fn before(pod: &Pod, written: Option<Vec<IpAddr>>) -> Vec<IpAddr> {
    let status = pod.status.as_ref();
    if matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
        return Vec::new();
    }
    let told = || {
        let ips = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten());
        ips.filter_map(|known| known.ip.parse().ok()).collect()
    };
    written.unwrap_or_else(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_was_written_goes_before_what_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("pod");
        let pod = |phase: &str| -> Pod {
            let status = json!({"phase": phase, "podIPs": [{"ip": "10.244.0.9"}]});
            serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap()
        };
        let shown = |phase| before(&pod(phase), read(&dir)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown("Running"), ["10.244.0.9"]);
        write(&dir, &["10.244.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]).await;
        assert_eq!(shown("Running"), ["10.244.0.2", "fd00::2"]);
        assert!(shown("Succeeded").is_empty());
        std::fs::write(dir.join(FILE), "[\"10.24").unwrap();
        assert_eq!(shown("Pending"), ["10.244.0.9"]);
        remove(&dir);
        remove(&dir);
        assert_eq!(read(&dir), None);
    }
}
