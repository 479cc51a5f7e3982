//! What a pod's directories will hold, kept in memory until a guest looks: most never open a file, and a directory of
//! small files is among the dearest things that a pod can be given. It writes only where it is told to look.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::Error;

/// Makes a directory and what is in it. It may be done again after it has failed.
pub type Work = Box<dyn FnMut() -> Result<(), Error> + Send>;

/// The work that a pod's directories wait for.
#[derive(Default)]
pub struct Later(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    is_looked_at: bool,
    work: BTreeMap<PathBuf, Work>,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.lock();
        let paths: Vec<_> = kept.work.keys().collect();
        f.debug_struct("Later").field("is_looked_at", &kept.is_looked_at).field("paths", &paths).finish()
    }
}

impl Later {
    /// Keeps the work that makes `path`, in place of what was kept for it. Gives it back when somebody has looked at the
    /// pod's directories: then it is to be done now.
    #[must_use]
    pub fn keep(&self, path: PathBuf, work: Work) -> Option<Work> {
        let mut kept = self.0.lock();
        if kept.is_looked_at {
            return Some(work);
        }
        kept.work.insert(path, work);
        None
    }

    /// Does the work that is kept, and from then on nothing is. Blocking.
    pub fn look(&self) -> Result<(), Error> {
        // Who looks meanwhile waits until all is there.
        let mut kept = self.0.lock();
        while let Some(mut first) = kept.work.first_entry() {
            first.get_mut()()?;
            drop(first.remove());
        }
        kept.is_looked_at = true;
        Ok(())
    }

    pub fn is_looked_at(&self) -> bool {
        self.0.lock().is_looked_at
    }

    /// Forgets what is kept: nobody will look any more.
    pub fn forget(&self) {
        self.0.lock().work.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn file(path: &Path, text: &'static str) -> Work {
        let path = path.to_owned();
        Box::new(move || {
            let failed = |source| Error::Write { path: path.display().to_string(), source };
            fs::write(&path, text).map_err(failed)
        })
    }

    #[test]
    fn what_nobody_looks_at_is_not_written_and_then_the_newest_is() {
        let dir = tempfile::tempdir().unwrap();
        let (later, path) = (Later::default(), dir.path().join("a"));
        assert!(later.keep(path.clone(), file(&path, "old")).is_none());
        assert!(later.keep(path.clone(), file(&path, "new")).is_none());
        assert!(!path.exists());
        later.look().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let mut now = later.keep(path.clone(), file(&path, "newer")).unwrap();
        now().unwrap();
        later.look().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn what_could_not_be_written_is_tried_again_at_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let (later, path) = (Later::default(), dir.path().join("below/a"));
        assert!(later.keep(path.clone(), file(&path, "text")).is_none());
        assert!(later.look().is_err());
        assert!(!later.is_looked_at());
        fs::create_dir(dir.path().join("below")).unwrap();
        later.look().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
    }
}
