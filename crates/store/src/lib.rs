//! A revisioned key-value store with watches: etcd's model, embedded.
//!
//! Every transaction that changes something gets the next [`Revision`]; all of its changes share it. A key remembers the
//! revision that created it, the one that changed it last, and how often it was changed since it was created. One can
//! read at an older revision, compare and swap, list a prefix in order and in pages, and watch a prefix from a revision
//! on without gap or repeat.
//!
//! # Promises
//! - A transaction is acknowledged, and seen by readers and watchers, only once it is on the disk.
//! - Reads come from memory and never wait for the disk.
//! - Revisions grow by one per transaction, also across restarts. An empty store is at revision 1, as etcd's is.
//! - Nothing here knows what a key or a value means.
//!
//! # Limits
//! The past is kept in a window of events that is bounded by [`Options::events_max`] and [`Options::history_bytes_max`].
//! What leaves the window is compacted: reads before [`Store::compacted`] answer [`Error::Compacted`], and a watcher
//! that has fallen behind the window is told [`Error::Lagged`]. A watcher has no queue of its own, so a slow one costs
//! nothing and holds nobody up. The window is on the disk too: a restart neither shortens it nor tells a watcher to
//! begin anew.
//!
//! # When the disk fails
//! A commit that fails answers [`Error::Disk`] to all who wrote in it, and has not happened. Reads and watches go on.
//! The next write that comes [`Options::reopen_pause`] later opens the file again, takes back what the failed commit may
//! have left in it, and goes on; until that succeeds, writes answer [`Error::Disk`]. After a failed fsync the kernel may
//! believe in pages that never reached the disk, so then the file is not trusted: a new one is written from memory and
//! takes its place.

mod error;
mod log;
mod medium;
mod model;
mod options;
mod plan;
mod record;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

pub use error::Error;
pub use model::{Compare, Event, KeyValue, List, ListOptions, Op, Revision, Txn, TxnOutcome};
pub use options::Options;
pub use store::Store;
pub use watch::Watch;
