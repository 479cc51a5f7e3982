//! Files that are on the disk when a function returns, and the one edge where this crate blocks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use uuid::Uuid;

use crate::Error;

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Makes the entries of `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync directory", dir))
}

/// Makes `dir` and what is missing above it.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create directory", dir)(error)),
        Ok(()) | Err(_) => sync_dir(parent.unwrap_or(Path::new("."))),
    }
}

/// Writes `dir/name` as a whole: a crash leaves the old content or the new one.
pub(crate) fn write(dir: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    create_dir(dir)?;
    let (path, temporary) = (dir.join(name), dir.join(format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4())));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(Error::io("write", &path)(error));
    }
    sync_dir(dir)
}

/// Begins the names of files that [`write`] has not finished. No tag, digest or repository begins like this.
const TEMPORARY_PREFIX: &str = ".new-";

/// Removes `dir/name`. False when it was not there.
pub(crate) fn remove(dir: &Path, name: &str) -> Result<bool, Error> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Ok(()) => sync_dir(dir).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", &path)(error)),
    }
}

/// The content of `path`, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The names in `dir`, in order; none when it is not there. What a crash left half-written is not among them.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = || Error::io("list directory", dir);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed())?.file_name();
        names.extend(name.to_str().filter(|name| !name.starts_with(TEMPORARY_PREFIX)).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes what a crash left half-written in `dir`.
pub(crate) fn sweep(dir: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(dir).map_err(Error::io("list directory", dir))?;
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX)) {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}
