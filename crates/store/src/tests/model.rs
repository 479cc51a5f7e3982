//! The store as one would write it without caring for speed: it keeps a copy of everything for every revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Event, KeyValue, List, ListOptions, Op, Revision, Txn, TxnOutcome};

type Keys = BTreeMap<Arc<str>, KeyValue>;

#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The state after each revision; index 0 is never used.
    states: Vec<Keys>,
    events: Vec<Event>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { states: vec![Keys::new(), Keys::new()], events: Vec::new() }
    }

    pub(super) fn revision(&self) -> Revision {
        self.states.len() as Revision - 1
    }

    fn newest(&self) -> &Keys {
        self.states.last().unwrap()
    }

    pub(super) fn mod_revision(&self, key: &str) -> Revision {
        self.newest().get(key).map_or(0, |kv| kv.mod_revision)
    }

    pub(super) fn get(&self, key: &str) -> Option<KeyValue> {
        self.newest().get(key).cloned()
    }

    pub(super) fn txn(&mut self, txn: &Txn) -> TxnOutcome {
        if txn.compare.iter().any(|compare| self.mod_revision(&compare.key) != compare.mod_revision) {
            let current = txn.compare.iter().map(|compare| self.newest().get(&compare.key).cloned()).collect();
            return TxnOutcome::Conflict { revision: self.revision(), current };
        }
        let revision = self.revision() + 1;
        let mut keys = self.newest().clone();
        let mut events = Vec::new();
        for op in &txn.success {
            let prev = keys.get(op.key()).cloned();
            let kv = match op {
                Op::Put { key, value } => Some(KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                    create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
                    mod_revision: revision,
                    version: prev.as_ref().map_or(1, |prev| prev.version + 1),
                }),
                Op::Delete { .. } if prev.is_none() => continue,
                Op::Delete { .. } => None,
            };
            match &kv {
                Some(kv) => keys.insert(op.key().clone(), kv.clone()),
                None => keys.remove(op.key()),
            };
            events.push(Event { revision, key: op.key().clone(), kv, prev });
        }
        if !events.is_empty() {
            self.states.push(keys);
            self.events.append(&mut events);
        }
        TxnOutcome::Committed { revision: self.revision() }
    }

    /// Forgets the transactions after `revision`, which a crash has lost.
    pub(super) fn rewind(&mut self, revision: Revision) {
        self.states.truncate(revision as usize + 1);
        self.events.retain(|event| event.revision <= revision);
    }

    pub(super) fn list(&self, prefix: &str, options: &ListOptions) -> List {
        let revision = options.revision.unwrap_or(self.revision());
        let mut items: Vec<KeyValue> = self.states[revision as usize].values().cloned().collect();
        items.retain(|kv| kv.key.starts_with(prefix) && options.after.as_deref().is_none_or(|after| &*kv.key > after));
        let n_remaining = items.len().saturating_sub(options.limit.unwrap_or(usize::MAX));
        items.truncate(items.len() - n_remaining);
        List { revision, items, more: n_remaining > 0, n_remaining }
    }

    pub(super) fn events(&self, prefix: &str, after: Revision) -> Vec<Event> {
        let wanted = |event: &&Event| event.revision > after && event.key.starts_with(prefix);
        self.events.iter().filter(wanted).cloned().collect()
    }
}
