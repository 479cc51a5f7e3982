//! `tar x` and `tar t`: an archive into the volumes, or the names in it. Nothing is ever written outside of a volume.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use cap_std::fs::{Dir, Permissions, PermissionsExt};
use tar::{Archive, Entry, EntryType};

use super::arguments::{Arguments, inside};
use super::create::words;
use super::view::{Place, View, join, open, parts};

/// Extracts what `input` holds. `Ok(false)` when some of it could not be.
pub(super) fn extract(
    view: &View,
    arguments: &Arguments,
    input: impl Read,
    errors: &mut impl Write,
) -> Result<bool, String> {
    if matches!(view.find(&arguments.directory), Place::Nowhere) {
        return Err(format!("{}: Cannot open: {}", arguments.directory, view.nothing_there()));
    }
    let mut is_whole = true;
    for entry in Archive::new(input).entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        if let Err(why) = one(view, arguments, &mut entry, &name) {
            let _ = writeln!(errors, "tar: {name}: {why}");
            is_whole = false;
        } else if arguments.verbose {
            let _ = writeln!(errors, "{name}");
        }
    }
    Ok(is_whole)
}

/// Writes the names of what `input` holds.
pub(super) fn list(input: impl Read, output: &mut impl Write) -> Result<bool, String> {
    for entry in Archive::new(input).entries().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        writeln!(output, "{name}").map_err(|error| error.to_string())?;
    }
    Ok(true)
}

fn one(view: &View, arguments: &Arguments, entry: &mut Entry<'_, impl Read>, name: &str) -> Result<(), String> {
    if name.split('/').any(|part| part == "..") {
        return Err("Member name contains '..'".to_owned());
    }
    let path = join(&parts(&inside(&arguments.directory, name.trim_start_matches('/'))));
    let is_directory = entry.header().entry_type() == EntryType::Directory;
    let (mount, below) = match view.find(&path) {
        Place::Inside(mount, below) => (mount, below),
        Place::Above(_) if is_directory => return Ok(()),
        Place::Above(_) | Place::Nowhere => return Err(format!("Cannot open: {}", view.nothing_there())),
    };
    if below.as_os_str().is_empty() {
        return if is_directory { Ok(()) } else { Err("Cannot open: Is a directory".to_owned()) };
    }
    if mount.read_only {
        return Err("Cannot open: Read-only file system".to_owned());
    }
    let dir = open(mount).map_err(|error| format!("Cannot open: {}", words(&error)))?;
    if let Some(parent) = below.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        dir.create_dir_all(parent).map_err(|error| format!("Cannot mkdir: {}", words(&error)))?;
    }
    put(&dir, arguments, entry, &below).map_err(|error| format!("Cannot open: {}", words(&error)))
}

fn put(dir: &Dir, arguments: &Arguments, entry: &mut Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
    let kind = entry.header().entry_type();
    if kind == EntryType::Directory {
        return dir.create_dir_all(path);
    }
    // What is there already is replaced, not written through: it may be a link.
    match dir.symlink_metadata(path) {
        Ok(found) if !found.is_dir() => dir.remove_file(path)?,
        Ok(_) | Err(_) => {}
    }
    let target = entry.link_name()?.map(|target| target.into_owned());
    match (kind, target) {
        (EntryType::Symlink, Some(target)) => dir.symlink(target, path),
        (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => {
            let mut file = dir.create(path)?;
            io::copy(entry, &mut file)?;
            if arguments.keep_permissions {
                file.set_permissions(Permissions::from_mode(entry.header().mode()? & 0o777))?;
            }
            if !arguments.touch {
                file.into_std().set_modified(UNIX_EPOCH + Duration::from_secs(entry.header().mtime()?))?;
            }
            Ok(())
        }
        (kind, _) => Err(io::Error::other(format!("entries of type {kind:?} cannot be in a volume"))),
    }
}
