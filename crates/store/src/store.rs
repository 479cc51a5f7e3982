//! The handle that callers hold. It never touches the disk itself: writes go to the writer, reads to memory.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::plan::{self, Plan};
use crate::state::State;
use crate::{Error, KeyValue, List, ListOptions, Op, Options, Revision, Txn, TxnOutcome, Watch};

/// A store. Cloning gives another handle on the same one; it is closed when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    txn_bytes_max: usize,
}

/// What readers, watchers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
}

impl Store {
    /// Opens the store in the directory that `options` name.
    pub fn open(options: Options) -> Result<Self, Error> {
        let state = State::new((&options).into(), 1);
        Ok(Self { shared: Arc::new(Shared { state: RwLock::new(state) }), txn_bytes_max: options.txn_bytes_max })
    }

    /// A store that forgets everything when it is closed.
    pub fn memory() -> Self {
        Self::open(Options::new("")).expect("memory needs no directory")
    }

    /// The newest value of `key`, and the revision at which it was read.
    pub async fn get(&self, key: &str) -> Result<(Revision, Option<KeyValue>), Error> {
        let state = self.shared.state.read();
        Ok((state.revision, state.get(key).cloned()))
    }

    /// The keys that start with `prefix`, in order.
    pub async fn list(&self, prefix: &str, options: ListOptions) -> Result<List, Error> {
        self.shared.state.read().list(prefix, &options)
    }

    /// Does all that `txn` says, or nothing, and returns once that is durable.
    ///
    /// When the future is dropped before it is done, the transaction may or may not happen.
    pub async fn txn(&self, mut txn: Txn) -> Result<TxnOutcome, Error> {
        plan::check(&txn, self.txn_bytes_max)?;
        own_values(&mut txn);
        let mut state = self.shared.state.write();
        let (outcome, events) = {
            let mut plan = Plan::new(&state);
            (plan.txn(txn), plan.events)
        };
        state.apply(events);
        let marked = state.watchers.take_marked();
        drop(state);
        marked.wake();
        Ok(outcome)
    }

    /// The events of the keys that start with `prefix`, those with a revision after `from`.
    pub async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        Watch::new(&self.shared, prefix, from)
    }

    /// Forgets the past before `revision`.
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.shared.state.write().compact(revision);
        Ok(())
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.shared.state.read().revision
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.shared.state.read().compacted
    }
}

/// Gives each value an allocation of exactly its size: the caller's may be a slice of a large buffer, or half empty.
fn own_values(txn: &mut Txn) {
    for op in &mut txn.success {
        if let Op::Put { value, .. } = op {
            *value = Bytes::copy_from_slice(value);
        }
    }
}
