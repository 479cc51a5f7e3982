//! What can be chosen about a store, with the defaults that fit a cluster on one machine.

use std::path::PathBuf;
use std::time::Duration;

/// Events kept in the window.
const EVENTS_MAX: usize = 50_000;
/// Bytes that only the window keeps alive: values that a later event has replaced or deleted.
const HISTORY_BYTES_MAX: usize = 64 << 20;
/// Keys and values of one transaction. Above the largest body that the API takes.
const TXN_BYTES_MAX: usize = 8 << 20;
/// Transactions that wait for the writer before callers wait to hand theirs in.
const QUEUE_TXNS_MAX: usize = 1024;
/// Bytes that wait for the writer before callers wait to hand theirs in.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Deletions in the file for which a commit waits: records next to each other share pages.
const RECLAIM_MIN: usize = 256;

/// Where a store lives and how much it may keep.
#[derive(Clone, Debug)]
pub struct Options {
    /// A directory of the store's own, made when it is missing.
    pub dir: PathBuf,
    pub events_max: usize,
    pub history_bytes_max: usize,
    pub txn_bytes_max: usize,
    pub queue_txns_max: usize,
    pub queue_bytes_max: usize,
    /// The file's dead records are deleted, beside new ones, once so many have gathered.
    pub reclaim_min: usize,
    /// After a failed commit, how long until a write tries the disk again.
    pub reopen_pause: Duration,
}

impl Options {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            events_max: EVENTS_MAX,
            history_bytes_max: HISTORY_BYTES_MAX,
            txn_bytes_max: TXN_BYTES_MAX,
            queue_txns_max: QUEUE_TXNS_MAX,
            queue_bytes_max: QUEUE_BYTES_MAX,
            reclaim_min: RECLAIM_MIN,
            reopen_pause: Duration::from_secs(1),
        }
    }
}
