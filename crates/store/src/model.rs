//! The plain values that go in and out of the store. They own their bytes or share them, and do nothing.

use std::sync::Arc;

use bytes::Bytes;

/// Counts the transactions that changed something. 0 stands for "never".
pub type Revision = u64;

/// The revision of a store to which nothing was written yet, as in etcd.
pub(crate) const REVISION_FIRST: Revision = 1;

/// A key with its value at some revision. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Arc<str>,
    pub value: Bytes,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    /// How often it was put since it was created: 1 for a new key.
    pub version: u64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub revision: Revision,
    pub key: Arc<str>,
    /// What the key holds now; `None` when it was deleted.
    pub kv: Option<KeyValue>,
    /// What it held before; `None` when it did not exist.
    pub prev: Option<KeyValue>,
}

impl Event {
    /// The size of the values that it holds on to.
    pub fn n_bytes(&self) -> usize {
        [&self.kv, &self.prev].into_iter().flatten().map(|kv| kv.value.len()).sum()
    }
}

/// Changes that happen together or not at all: they do when every comparison holds.
///
/// No key may occur twice among the changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Op>,
}

impl Txn {
    /// Puts `value` if `key` was last changed at `mod_revision`; 0 creates.
    pub fn put(key: impl Into<Arc<str>>, value: impl Into<Bytes>, mod_revision: Revision) -> Self {
        let key = key.into();
        let compare = vec![Compare { key: Arc::clone(&key), mod_revision }];
        Self { compare, success: vec![Op::Put { key, value: value.into() }] }
    }

    /// Deletes `key` if it was last changed at `mod_revision`.
    pub fn delete(key: impl Into<Arc<str>>, mod_revision: Revision) -> Self {
        let key = key.into();
        let compare = vec![Compare { key: Arc::clone(&key), mod_revision }];
        Self { compare, success: vec![Op::Delete { key }] }
    }
}

/// Holds when `key` was last changed at `mod_revision`, or with 0 when it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub key: Arc<str>,
    pub mod_revision: Revision,
}

/// One change. Deleting what does not exist changes nothing and is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Put { key: Arc<str>, value: Bytes },
    Delete { key: Arc<str> },
}

impl Op {
    /// The key that it changes.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Every comparison held. `revision` is the transaction's own, or the current one when nothing changed.
    Committed { revision: Revision },
    /// A comparison did not hold and nothing happened. `current` is what the compared keys held, one per comparison.
    Conflict { revision: Revision, current: Vec<Option<KeyValue>> },
}

/// Which part of a prefix to list, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// The revision to read at; `None` is the current one.
    pub revision: Option<Revision>,
    /// Only keys after this one.
    pub after: Option<String>,
    /// At most so many items.
    pub limit: Option<usize>,
    /// No further items once the values hold so many bytes.
    pub bytes_max: Option<usize>,
    /// Leaves [`List::n_remaining`] at 0: to count, every key that is left has to be looked at.
    pub uncounted: bool,
}

/// A part of a prefix, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The revision that it was read at.
    pub revision: Revision,
    pub items: Vec<KeyValue>,
    /// True when the limits left items out.
    pub more: bool,
    /// How many they left out.
    pub n_remaining: usize,
}
