//! Which of several control planes runs the loops, and by which name each is known to the others.

use std::path::Path;

use anyhow::{Context, Result};
use coracle_client::{Election, Key};
use coracle_stdx::Clock;
use kube::Client;
use uuid::Uuid;

/// The same after every restart, so that a process that was killed need not wait for its own lease to end: the data
/// directory keeps it, and only one process can hold that.
pub(super) fn identity(data_dir: &Path) -> Result<String> {
    let path = data_dir.join("control-plane-name");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if !kept.is_empty() {
        return Ok(kept);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = format!("{host}_{}", Uuid::new_v4());
    std::fs::write(&path, &name).with_context(|| format!("keep the control plane's name in {}", path.display()))?;
    Ok(name)
}

/// A candidate for what the component `name` does.
pub(super) fn election(name: &str, client: &Client, identity: &str) -> Election {
    Election::new(client.clone(), Key::new("kube-system", name), identity, Clock::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_keeps_its_name() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = identity(dirs[0].path()).unwrap();
        assert_eq!(identity(dirs[0].path()).unwrap(), first);
        assert_ne!(identity(dirs[1].path()).unwrap(), first);
    }
}
