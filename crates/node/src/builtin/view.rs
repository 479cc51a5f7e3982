//! A container's files: its volumes, each a directory that no path leads out of, and between them nothing.

use std::io;
use std::path::PathBuf;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use coracle_runtime::Mount;

/// The volumes of a container.
pub(super) struct View {
    mounts: Vec<Mount>,
}

/// Where a path leads.
pub(super) enum Place<'a> {
    /// Into a volume: the path below it, which is empty for the volume itself.
    Inside(&'a Mount, PathBuf),
    /// To a directory that only exists because volumes are mounted below it.
    Above(Vec<&'a Mount>),
    Nowhere,
}

impl View {
    pub(super) fn new(mounts: Vec<Mount>) -> Self {
        let clean = |mount: Mount| Mount { guest: join(&parts(&mount.guest)), ..mount };
        Self { mounts: mounts.into_iter().map(clean).collect() }
    }

    pub(super) fn find(&self, path: &str) -> Place<'_> {
        let wanted = parts(path);
        let depth = |mount: &Mount| parts(&mount.guest).len();
        let holds = |mount: &&Mount| wanted.starts_with(&parts(&mount.guest));
        if let Some(mount) = self.mounts.iter().filter(holds).max_by_key(|mount| depth(mount)) {
            return Place::Inside(mount, wanted[depth(mount)..].iter().collect());
        }
        let below: Vec<&Mount> = self.mounts.iter().filter(|mount| parts(&mount.guest).starts_with(&wanted)).collect();
        if below.is_empty() && !wanted.is_empty() { Place::Nowhere } else { Place::Above(below) }
    }

    /// `test -d PATH` and its like.
    pub(super) fn test(&self, flag: &str, path: &str) -> bool {
        let found = match self.find(path) {
            Place::Nowhere => return false,
            Place::Above(_) => return flag != "-f",
            Place::Inside(_, below) if below.as_os_str().is_empty() => return flag != "-f",
            Place::Inside(mount, below) => open(mount).and_then(|dir| dir.metadata(below)),
        };
        found.is_ok_and(|found| match flag {
            "-d" => found.is_dir(),
            "-f" => found.is_file(),
            _ => true,
        })
    }

    /// Why there is nothing at a path outside of all volumes.
    pub(super) fn nothing_there(&self) -> String {
        let guests: Vec<&str> = self.mounts.iter().map(|mount| mount.guest.as_str()).collect();
        match guests.as_slice() {
            [] => "No such file or directory (this container has no volumes, and so no files)".to_owned(),
            guests => format!("No such file or directory (this container's files are in {})", guests.join(", ")),
        }
    }
}

pub(super) fn open(mount: &Mount) -> io::Result<Dir> {
    Dir::open_ambient_dir(&mount.host, ambient_authority())
}

/// The names in a path, from the root on, without `.` and `..`.
pub(super) fn parts(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

pub(super) fn join(parts: &[String]) -> String {
    format!("/{}", parts.join("/"))
}
