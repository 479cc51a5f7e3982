//! Where the log's file lives: a directory, or memory. It knows nothing of what is in the file.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

use crate::Error;

/// Gives the storage behind the log, and can replace it as a whole.
pub(crate) trait Medium: Debug + Send {
    /// What is there, if anything is.
    fn open(&self) -> Result<Option<Backend>, Error>;
    /// Something empty beside what is there, which a crash may leave behind.
    fn fresh(&self) -> Result<Backend, Error>;
    /// Puts what [`Medium::fresh`] gave in the place of what is there, durably.
    fn promote(&self) -> Result<(), Error>;
}

/// A storage that remembers whether a sync of it ever failed: then nobody knows what of it is on the disk.
#[derive(Debug)]
pub(crate) struct Backend {
    storage: Box<dyn StorageBackend>,
    sync_failed: Arc<AtomicBool>,
}

impl Backend {
    pub(crate) fn new(storage: impl StorageBackend) -> Self {
        Self { storage: Box::new(storage), sync_failed: Arc::default() }
    }

    pub(crate) fn sync_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sync_failed)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Relaxed))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }
}

/// A directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, and locks it.
    pub(crate) fn lock(dir: &Path) -> Result<Self, Error> {
        let failed = |error| open_error(dir, error);
        std::fs::create_dir_all(dir).map_err(failed)?;
        sync_dir(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(dir)).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.into() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("store.redb")
    }

    fn fresh_file(&self) -> PathBuf {
        self.dir.join("store.redb.new")
    }

    fn backend(&self, path: &Path, options: &mut OpenOptions) -> Result<Backend, Error> {
        let file = options.read(true).write(true).open(path).map_err(|error| open_error(path, error))?;
        FileBackend::new(file).map(Backend::new).map_err(|error| open_error(path, error))
    }
}

impl Medium for Directory {
    fn open(&self) -> Result<Option<Backend>, Error> {
        let path = self.file();
        let exists = path.try_exists().map_err(|error| open_error(&path, error))?;
        exists.then(|| self.backend(&path, &mut OpenOptions::new())).transpose()
    }

    fn fresh(&self) -> Result<Backend, Error> {
        self.backend(&self.fresh_file(), OpenOptions::new().create(true).truncate(true))
    }

    fn promote(&self) -> Result<(), Error> {
        let renamed = std::fs::rename(self.fresh_file(), self.file()).and_then(|()| sync_dir(&self.dir));
        renamed.map_err(|error| open_error(&self.file(), error))
    }
}

/// Memory: nothing is there yet, and since it never fails it is never opened again.
#[derive(Debug)]
pub(crate) struct Memory;

impl Medium for Memory {
    fn open(&self) -> Result<Option<Backend>, Error> {
        Ok(None)
    }

    fn fresh(&self) -> Result<Backend, Error> {
        Ok(Backend::new(InMemoryBackend::new()))
    }

    fn promote(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn open_error(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Open { path: path.into(), cause: error.to_string().into() }
}
