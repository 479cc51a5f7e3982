//! Everything that a caller of the store can be told instead of an answer.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Revision;

/// Why the store did not do it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The past is kept only from `compacted` on.
    #[error("revision {requested} has been compacted, the oldest is {compacted}")]
    Compacted { requested: Revision, compacted: Revision },
    /// That revision has not been written yet.
    #[error("revision {requested} is a future revision, the newest is {current}")]
    FutureRevision { requested: Revision, current: Revision },
    /// The watcher has fallen behind the window of events: list again and watch from there.
    #[error("watcher has fallen behind: events up to revision {compacted} have been compacted")]
    Lagged { compacted: Revision },
    /// A transaction changes a key twice.
    #[error("duplicate key {key:?} in transaction")]
    DuplicateKey { key: Arc<str> },
    /// The empty string is no key.
    #[error("key is empty")]
    EmptyKey,
    /// More than [`crate::Options::txn_bytes_max`].
    #[error("transaction of {n_bytes} bytes is larger than {bytes_max}")]
    TooLarge { n_bytes: usize, bytes_max: usize },
    /// Nothing was written: the disk refused. Reads are served all the same, and a later write may succeed.
    #[error("write to the store: {cause}")]
    Disk { cause: Arc<str> },
    /// Another process (or another store of this one) has the directory open.
    #[error("data directory {path} is in use by another process")]
    Locked { path: PathBuf },
    /// The directory or the file in it cannot be opened.
    #[error("open the store in {path}: {cause}")]
    Open { path: PathBuf, cause: Arc<str> },
    /// The store has been closed.
    #[error("store is closed")]
    Closed,
}
