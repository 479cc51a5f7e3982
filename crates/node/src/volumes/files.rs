//! Writes a volume's files so that a guest sees all of the old ones or all of the new ones, with kubelet's `..data`.
//! Blocking: for one named edge.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Error, Files};

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes an empty volume.
pub fn create(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| failed(dir, source))
}

/// Makes the volume at `dir` hold exactly `files`.
pub fn write(dir: &Path, files: &Files) -> Result<(), Error> {
    replace(dir, files).map_err(|source| failed(dir, source))
}

fn failed(dir: &Path, source: io::Error) -> Error {
    Error::Write { path: dir.display().to_string(), source }
}

fn replace(dir: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let version = format!("..v{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let target = dir.join(&version);
    fs::create_dir(&target)?;
    for (path, file) in files {
        let path = target.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = file.mode | 0o400;
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(&file.content)?;
    }
    let old = fs::read_link(dir.join(DATA)).ok();
    let next = dir.join(DATA_NEXT);
    remove_if_there(fs::remove_file(&next))?;
    symlink(&version, &next)?;
    fs::rename(next, dir.join(DATA))?;
    link_names(dir, files)?;
    match old {
        Some(old) => remove_if_there(fs::remove_dir_all(dir.join(old))),
        None => Ok(()),
    }
}

/// Each first part of a path is a link into the current data; links to what is gone go too.
fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let names: BTreeSet<&str> =
        files.keys().filter_map(|path| path.trim_start_matches("./").split('/').next()).collect();
    for name in &names {
        match symlink(Path::new(DATA).join(name), dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !names.contains(name.as_ref()) {
            remove_if_there(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
