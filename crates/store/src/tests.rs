//! The store's tests. What any engine must do is in `suite` and `property`; the rest is about this one and its disk.

mod crash;
mod disk;
mod model;
mod property;
mod suite;
mod watching;

use std::time::Duration;

use crate::medium::Memory;
use crate::{Event, Options, Revision, Store, Txn, TxnOutcome, Watch};

/// Options that make every bound and every deletion happen soon.
fn small() -> Options {
    Options {
        events_max: 12,
        reclaim_min: 3,
        queue_txns_max: 4,
        reopen_pause: Duration::ZERO,
        ..Options::new("simulated")
    }
}

fn small_store() -> Store {
    Store::over(Box::new(Memory), small()).unwrap()
}

/// Puts without a condition, and returns the revision.
async fn put(store: &Store, key: &str, value: &str) -> Revision {
    let op = crate::Op::Put { key: key.into(), value: value.to_owned().into() };
    match store.txn(Txn { compare: Vec::new(), success: vec![op] }).await.unwrap() {
        TxnOutcome::Committed { revision } => revision,
        conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
    }
}

async fn value(store: &Store, key: &str) -> Option<String> {
    let (_, kv) = store.get(key).await.unwrap();
    kv.map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

/// Receives until everything up to `revision` is there.
async fn receive_to(watch: &mut Watch, revision: Revision) -> Vec<Event> {
    let mut events = Vec::new();
    while watch.progress().unwrap() < revision {
        // Other prefixes may have had all of the events that are left.
        tokio::select! {
            biased;
            received = watch.recv() => events.extend(received.unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    events
}
