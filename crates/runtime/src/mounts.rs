//! The directories that the instances of one container are given: opened when the first guest asks for them, and shared.

use std::sync::OnceLock;

use wasmtime::error::Context;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use crate::container::{Furnish, Mount};

/// A container that uses no file holds no file open, however many directories it has.
#[derive(Default)]
pub(crate) struct Mounts {
    checked: OnceLock<()>,
    opened: OnceLock<WasiFilesystemCtx>,
}

impl Mounts {
    /// Fails as [`Self::open`] would, without opening anything.
    pub(crate) fn check(&self, mounts: &[Mount], furnish: Option<&Furnish>) -> wasmtime::Result<()> {
        if furnish.is_none() && self.checked.get().is_none() {
            for mount in mounts {
                std::fs::metadata(&mount.host).with_context(|| format!("mount {}", mount.guest))?;
            }
            self.checked.get_or_init(|| ());
        }
        Ok(())
    }

    /// What guests see of them. Instances share the open directories, each with descriptors of its own.
    pub(crate) fn open(&self, mounts: &[Mount], furnish: Option<&Furnish>) -> wasmtime::Result<WasiFilesystemCtx> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        if let Some(furnish) = furnish {
            furnish().context("make the mounts")?;
        }
        let mut wasi = WasiCtx::builder();
        for mount in mounts {
            let perms = if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(&mount.host, &mount.guest, perms).with_context(|| format!("mount {}", mount.guest))?;
        }
        let opened = wasi.build().filesystem().clone();
        Ok(self.opened.get_or_init(|| opened).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn n_open(dir: &Path) -> usize {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        open.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|path| path == dir)).count()
    }

    #[test]
    fn a_directory_is_opened_once_and_only_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let given = [Mount { host: dir.path().into(), guest: "/data".into(), read_only: true }];
        let mounts = Mounts::default();
        mounts.check(&given, None).unwrap();
        assert_eq!(n_open(dir.path()), 0);
        let instances = [mounts.open(&given, None).unwrap(), mounts.open(&given, None).unwrap()];
        assert_eq!(n_open(dir.path()), 1);
        drop((instances, mounts));
        assert_eq!(n_open(dir.path()), 0);
    }

    #[test]
    fn what_is_not_there_is_told_by_the_path_that_the_guest_knows() {
        let given = [Mount { host: "/nowhere/at/all".into(), guest: "/data".into(), read_only: true }];
        let error = Mounts::default().check(&given, None).unwrap_err();
        assert!(format!("{error:#}").starts_with("mount /data: "), "{error:#}");
    }

    #[test]
    fn what_is_made_only_when_looked_at_is_not_missed_before() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("later");
        let given = [Mount { host: host.clone(), guest: "/data".into(), read_only: true }];
        let furnish: Furnish = std::sync::Arc::new(move || std::fs::create_dir_all(&host));
        let mounts = Mounts::default();
        mounts.check(&given, Some(&furnish)).unwrap();
        assert!(!given[0].host.exists());
        mounts.open(&given, Some(&furnish)).unwrap();
        assert!(given[0].host.exists());
    }
}
