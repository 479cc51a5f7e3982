//! The names of a log's files, and which of them there are. Blocking.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The file that is written to.
pub(super) fn current(dir: &Path, attempt: u32) -> PathBuf {
    dir.join(format!("{attempt}.log"))
}

/// A file that was put aside.
pub(super) fn part(dir: &Path, attempt: u32, part: u64) -> PathBuf {
    dir.join(format!("{attempt}.log.{part}"))
}

/// The numbers of the files that were put aside, from old to new.
pub(super) fn parts(dir: &Path, attempt: u32) -> Vec<u64> {
    let prefix = format!("{attempt}.log.");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut parts: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()).collect();
    parts.sort_unstable();
    parts
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the logs of all instances before `attempt`.
pub fn remove_before(dir: &Path, attempt: u32) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.split('.').next()?.parse::<u32>().ok());
        if number.is_some_and(|number| number < attempt) {
            // What cannot be removed now is removed with the pod.
            let _ = fs::remove_file(entry.path());
        }
    }
}
