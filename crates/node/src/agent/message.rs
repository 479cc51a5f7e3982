//! The file in which a guest may say why it ends (`terminationMessagePath`): made before it starts, read when it has
//! ended.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use coracle_runtime::Mount;

/// As upstream bounds a termination message. Of a longer one, the end is kept.
pub(super) const BYTES_MAX: usize = 4096;

/// Where on this machine a guest's message will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the guest sees of it; nothing beyond is read.
    root: PathBuf,
    file: PathBuf,
    /// It is the message's alone.
    is_own: bool,
}

/// Has `path` lead to a file that the guest can write: in one of `mounts` if it is below one, or in `own`, which becomes
/// one more of them. `None` where the guest may not write.
pub(super) fn place(mounts: &mut Vec<Mount>, path: &str, own: &Path) -> Option<Place> {
    let path = Path::new(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return None };
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.guest));
    if let Some(mount) = above.max_by_key(|mount| mount.guest.len()) {
        let rest = path.strip_prefix(&mount.guest).expect("it was compared");
        let place = Place { root: mount.host.clone(), file: mount.host.join(rest), is_own: false };
        return (!mount.read_only).then_some(place);
    }
    mounts.push(Mount { host: own.to_owned(), guest: parent.to_string_lossy().into_owned(), read_only: false });
    Some(Place { root: own.to_owned(), file: own.join(name), is_own: true })
}

impl Place {
    /// Makes a directory of its own anew, with the empty file. In a volume, that is the guest's business.
    pub(super) fn make(&self) -> io::Result<()> {
        if !self.is_own {
            return Ok(());
        }
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&self.root)?;
        File::create(&self.file).map(drop)
    }

    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// What the guest wrote; its end if it is long.
    pub(super) fn read(&self) -> Option<String> {
        // A guest may have put a link there: it must not lead out of what the guest sees.
        let real = self.file.canonicalize().ok()?;
        if !real.starts_with(self.root.canonicalize().ok()?) || !real.is_file() {
            return None;
        }
        let mut file = File::open(real).ok()?;
        let n_bytes = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(n_bytes.saturating_sub(BYTES_MAX as u64))).ok()?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX as u64).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(mounts: &mut Vec<Mount>, own: &Path) -> Place {
        let place = place(mounts, "/dev/termination-log", own).unwrap();
        place.make().unwrap();
        place
    }

    #[test]
    fn a_guest_that_has_no_place_for_its_message_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut mounts = Vec::new();
        let place = made(&mut mounts, dir.path());
        assert_eq!((mounts.len(), mounts[0].guest.as_str()), (1, "/dev"));
        assert_eq!(place.read(), None);
        fs::write(mounts[0].host.join("termination-log"), "out of luck").unwrap();
        assert_eq!(place.read().as_deref(), Some("out of luck"));
        let again = made(&mut Vec::new(), dir.path());
        assert_eq!(again.read(), None);
    }

    #[test]
    fn a_message_may_be_in_a_volume_of_the_guest() {
        let (own, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mount = |read_only| Mount { host: volume.path().to_owned(), guest: "/data".to_owned(), read_only };
        let place = place(&mut vec![mount(false)], "/data/last/words", own.path()).unwrap();
        place.make().unwrap();
        fs::create_dir(volume.path().join("last")).unwrap();
        fs::write(volume.path().join("last/words"), vec![b'x'; BYTES_MAX + 9]).unwrap();
        assert_eq!(place.read().unwrap().len(), BYTES_MAX);
        assert_eq!(super::place(&mut vec![mount(true)], "/data/words", own.path()), None);
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let (own, outside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        fs::write(outside.path(), "secret").unwrap();
        let place = made(&mut Vec::new(), own.path());
        fs::remove_file(&place.file).unwrap();
        std::os::unix::fs::symlink(outside.path(), &place.file).unwrap();
        assert_eq!(place.read(), None);
    }
}
