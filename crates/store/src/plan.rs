//! Decides what transactions do: a pure function from the state and a batch to events and outcomes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::state::State;
use crate::{Compare, Error, Event, KeyValue, Op, Revision, Txn, TxnOutcome};

/// The state as it will be once the transactions planned so far are durable.
pub(crate) struct Plan<'a> {
    state: &'a State,
    changed: HashMap<Arc<str>, Option<KeyValue>>,
    revision: Revision,
    pub(crate) events: Vec<Event>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self { state, changed: HashMap::new(), revision: state.revision, events: Vec::new() }
    }

    /// Adds one transaction after those before it.
    pub(crate) fn txn(&mut self, txn: Txn) -> TxnOutcome {
        if !txn.compare.iter().all(|compare| self.holds(compare)) {
            let current = txn.compare.iter().map(|compare| self.get(&compare.key).cloned()).collect();
            return TxnOutcome::Conflict { revision: self.revision, current };
        }
        let revision = self.revision + 1;
        for op in txn.success {
            self.op(op, revision);
        }
        if self.events.last().is_some_and(|event| event.revision == revision) {
            self.revision = revision;
        }
        TxnOutcome::Committed { revision: self.revision }
    }

    fn get(&self, key: &str) -> Option<&KeyValue> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.state.get(key),
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        self.get(&compare.key).map_or(0, |kv| kv.mod_revision) == compare.mod_revision
    }

    fn op(&mut self, op: Op, revision: Revision) {
        let prev = self.get(op.key()).cloned();
        match op {
            Op::Put { key, value } => {
                // The key's first allocation serves all its versions.
                let key = prev.as_ref().map_or(key, |prev| Arc::clone(&prev.key));
                let create_revision = prev.as_ref().map_or(revision, |prev| prev.create_revision);
                let version = prev.as_ref().map_or(0, |prev| prev.version) + 1;
                let kv = KeyValue { key: Arc::clone(&key), value, create_revision, mod_revision: revision, version };
                self.change(Event { revision, key, kv: Some(kv), prev });
            }
            Op::Delete { key: _ } => {
                let Some(prev) = prev else { return };
                self.change(Event { revision, key: Arc::clone(&prev.key), kv: None, prev: Some(prev) });
            }
        }
    }

    fn change(&mut self, event: Event) {
        self.changed.insert(Arc::clone(&event.key), event.kv.clone());
        self.events.push(event);
    }
}

/// The bytes that `txn` brings, or why it may not be planned.
pub(crate) fn check(txn: &Txn, bytes_max: usize) -> Result<usize, Error> {
    let mut keys = HashSet::new();
    let mut n_bytes = 0;
    for op in &txn.success {
        if op.key().is_empty() {
            return Err(Error::EmptyKey);
        }
        if !keys.insert(op.key()) {
            return Err(Error::DuplicateKey { key: Arc::clone(op.key()) });
        }
        n_bytes += match op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
        };
    }
    if n_bytes > bytes_max {
        return Err(Error::TooLarge { n_bytes, bytes_max });
    }
    Ok(n_bytes)
}
