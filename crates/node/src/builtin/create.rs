//! `tar c`: what is below the named paths, as an archive.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use coracle_runtime::Mount;
use tar::{Builder, EntryType, Header};

use super::arguments::{Arguments, inside};
use super::view::{Place, View, open, parts};

const BUFFER_BYTES: usize = 64 << 10;

/// Writes the archive. `Ok(false)` when something was missing from it.
pub(super) fn create(
    view: &View,
    arguments: &Arguments,
    output: &mut impl Write,
    errors: &mut impl Write,
) -> Result<bool, String> {
    if arguments.members.is_empty() {
        return Err("Cowardly refusing to create an empty archive".to_owned());
    }
    if arguments.members.iter().any(|member| member.starts_with('/')) {
        let _ = writeln!(errors, "tar: Removing leading `/' from member names");
    }
    let output = io::BufWriter::with_capacity(BUFFER_BYTES, output);
    let mut archive = Archive { builder: Builder::new(output), errors, is_whole: true };
    for member in &arguments.members {
        // An archive that nobody reads any more needs no further members.
        archive.member(view, &arguments.directory, member).map_err(|error| error.to_string())?;
    }
    let Archive { builder, is_whole, .. } = archive;
    let end = |error: io::Error| error.to_string();
    builder.into_inner().map_err(end)?.flush().map_err(end)?;
    Ok(is_whole)
}

struct Archive<'a, W: Write, E: Write> {
    builder: Builder<W>,
    errors: &'a mut E,
    is_whole: bool,
}

impl<W: Write, E: Write> Archive<'_, W, E> {
    fn member(&mut self, view: &View, directory: &str, member: &str) -> io::Result<()> {
        let name: PathBuf = parts(member).iter().collect();
        let name = if name.as_os_str().is_empty() { PathBuf::from(".") } else { name };
        match view.find(&inside(directory, member)) {
            Place::Inside(mount, below) => self.tree(mount, below, name),
            Place::Above(mounts) => {
                let depth = parts(&inside(directory, member)).len();
                for mount in mounts {
                    let name = parts(&mount.guest)[depth..].iter().fold(name.clone(), |name, part| name.join(part));
                    self.tree(mount, PathBuf::new(), name)?;
                }
                Ok(())
            }
            Place::Nowhere => {
                self.complain(member, &view.nothing_there());
                Ok(())
            }
        }
    }

    fn complain(&mut self, path: &str, why: &str) {
        let _ = writeln!(self.errors, "tar: {path}: Cannot stat: {why}");
        self.is_whole = false;
    }

    /// Adds what is at `below` in a volume, and all that is below it, as `name`.
    fn tree(&mut self, mount: &Mount, below: PathBuf, name: PathBuf) -> io::Result<()> {
        let dir = match open(mount) {
            Ok(dir) => dir,
            Err(error) => {
                self.complain(&mount.guest, &error.to_string());
                return Ok(());
            }
        };
        let mut waiting = vec![(below, name)];
        while let Some((path, name)) = waiting.pop() {
            let found = match path.as_os_str().is_empty() {
                true => dir.dir_metadata(),
                false => dir.symlink_metadata(&path),
            };
            match found {
                Ok(found) => self.entry(&dir, &found, &path, &name, &mut waiting)?,
                Err(error) => self.complain(&name.to_string_lossy(), &words(&error)),
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: &Dir,
        found: &Metadata,
        path: &Path,
        name: &Path,
        waiting: &mut Vec<(PathBuf, PathBuf)>,
    ) -> io::Result<()> {
        let mut header = header(found);
        if found.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.builder.append_data(&mut header, name.join(""), io::empty())?;
            match children(dir, path) {
                Ok(children) => {
                    waiting.extend(children.into_iter().rev().map(|child| (path.join(&child), name.join(&child))));
                }
                Err(error) => self.complain(&name.to_string_lossy(), &words(&error)),
            }
        } else if found.is_symlink() {
            match dir.read_link_contents(path) {
                Ok(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    self.builder.append_link(&mut header, name, target)?;
                }
                Err(error) => self.complain(&name.to_string_lossy(), &words(&error)),
            }
        } else if found.is_file() {
            match dir.open(path) {
                Ok(file) => {
                    header.set_size(found.len());
                    // A file that changes meanwhile must not break the archive.
                    let content = file.take(found.len()).chain(io::repeat(0)).take(found.len());
                    self.builder.append_data(&mut header, name, content)?;
                }
                Err(error) => self.complain(&name.to_string_lossy(), &words(&error)),
            }
        }
        Ok(())
    }
}

fn children(dir: &Dir, path: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let entries = if path.as_os_str().is_empty() { dir.entries()? } else { dir.read_dir(path)? };
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn header(found: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(found.mode() & 0o7777);
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// As the C library words the common ones.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "Permission denied (or it leads out of its volume)".to_owned(),
        _ => error.to_string(),
    }
}
