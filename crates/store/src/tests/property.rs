//! Random histories: the store and a model that keeps everything give the same answers at every step.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::Model;
use super::{receive_to, small, small_store};
use crate::{Compare, Error, ListOptions, Op, Options, Revision, Store, Txn};

const KEYS: [&str; 6] = ["a", "a/1", "a/2", "a/20", "b/1", "c"];
const PREFIXES: [&str; 5] = ["", "a", "a/", "a/2", "d"];

#[derive(Clone, Debug)]
enum Action {
    Txn { compare: Vec<Condition>, ops: BTreeMap<usize, Option<u8>> },
    List { prefix_idx: usize, back: u64, after_idx: Option<usize>, limit: Option<usize> },
    Watch { prefix_idx: usize, back: u64 },
    Compact { back: u64 },
    Reopen,
}

#[derive(Clone, Debug)]
struct Condition {
    key_idx: usize,
    holds: bool,
}

fn action() -> impl Strategy<Value = Action> {
    let condition =
        (0..KEYS.len(), prop::bool::weighted(0.8)).prop_map(|(key_idx, holds)| Condition { key_idx, holds });
    let ops = prop::collection::btree_map(0..KEYS.len(), prop::option::weighted(0.7, any::<u8>()), 0..4);
    let list = (0..PREFIXES.len(), 0..20u64, prop::option::of(0..KEYS.len()), prop::option::of(0..4usize));
    prop_oneof![
        10 => (vec(condition, 0..3), ops).prop_map(|(compare, ops)| Action::Txn { compare, ops }),
        4 => list.prop_map(|(prefix_idx, back, after_idx, limit)| Action::List { prefix_idx, back, after_idx, limit }),
        3 => (0..PREFIXES.len(), 0..20u64).prop_map(|(prefix_idx, back)| Action::Watch { prefix_idx, back }),
        1 => (0..15u64).prop_map(|back| Action::Compact { back }),
        1 => Just(Action::Reopen),
    ]
}

fn txn(model: &Model, compare: &[Condition], ops: &BTreeMap<usize, Option<u8>>) -> Txn {
    let compare = compare.iter().map(|condition| {
        let held = model.mod_revision(KEYS[condition.key_idx]);
        let mod_revision = if condition.holds { held } else { held + 1 };
        Compare { key: KEYS[condition.key_idx].into(), mod_revision }
    });
    let success = ops.iter().map(|(key_idx, value)| match value {
        Some(value) => Op::Put { key: KEYS[*key_idx].into(), value: vec![*value; 1 << (value % 13)].into() },
        None => Op::Delete { key: KEYS[*key_idx].into() },
    });
    Txn { compare: compare.collect(), success: success.collect() }
}

async fn list_like(store: &Store, model: &Model, prefix: &str, options: ListOptions) {
    let (revision, compacted) = (options.revision.unwrap(), store.compacted());
    match store.list(prefix, options.clone()).await {
        Ok(list) => assert_eq!(list, model.list(prefix, &options)),
        Err(Error::Compacted { .. }) => assert!(revision < compacted),
        Err(Error::FutureRevision { .. }) => assert!(revision > model.revision()),
        Err(error) => panic!("{error}"),
    }
}

async fn watch_like(store: &Store, model: &Model, prefix: &str, from: Revision) {
    match store.watch(prefix, from).await {
        Ok(mut watch) => assert_eq!(receive_to(&mut watch, model.revision()).await, model.events(prefix, from)),
        Err(Error::Compacted { .. }) => assert!(from < store.compacted()),
        Err(error) => panic!("{error}"),
    }
}

async fn compact_like(store: &Store, model: &Model, requested: Revision) {
    let before = store.compacted();
    match store.compact(requested).await {
        Ok(()) => assert_eq!(store.compacted(), requested),
        Err(Error::Compacted { .. }) => assert!(requested <= before),
        Err(Error::FutureRevision { .. }) => assert!(requested > model.revision()),
        Err(error) => panic!("{error}"),
    }
}

/// Plays `actions` on a store and on a model. `reopen` closes the store and opens what it left.
async fn play(mut store: Store, actions: Vec<Action>, reopen: impl Fn(Store) -> Store) {
    let mut model = Model::new();
    let mut watch = store.watch("a", 1).await.unwrap();
    let mut watched = Vec::new();
    for action in actions {
        // One revision into the future is asked for too.
        let before = |back: u64| (model.revision() + 1).saturating_sub(back);
        match action {
            Action::Txn { compare, ops } => {
                let txn = txn(&model, &compare, &ops);
                let expected = model.txn(&txn);
                assert_eq!(store.txn(txn).await.unwrap(), expected);
                watched.extend(receive_to(&mut watch, model.revision()).await);
            }
            Action::List { prefix_idx, back, after_idx, limit } => {
                let after = after_idx.map(|idx| KEYS[idx].into());
                let options = ListOptions { revision: Some(before(back)), after, limit, ..ListOptions::default() };
                list_like(&store, &model, PREFIXES[prefix_idx], options).await;
            }
            Action::Watch { prefix_idx, back } => {
                watch_like(&store, &model, PREFIXES[prefix_idx], before(back).min(model.revision())).await;
            }
            Action::Compact { back } => compact_like(&store, &model, before(back)).await,
            Action::Reopen => {
                drop(watch);
                store = reopen(store);
                assert!(store.compacted() <= model.revision());
                watch = store.watch("a", model.revision()).await.unwrap();
            }
        }
        assert_eq!(store.revision(), model.revision());
        for key in KEYS {
            assert_eq!(store.get(key).await.unwrap(), (model.revision(), model.get(key)));
        }
    }
    assert_eq!(watched, model.events("a", 1));
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_in_memory_behaves_like_the_model(actions in vec(action(), 1..120)) {
        run(play(small_store(), actions, |store| store));
    }

    #[test]
    fn a_store_on_disk_behaves_like_the_model(actions in vec(action(), 1..50)) {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(Options { dir: dir.path().into(), ..small() }).unwrap();
        run(play(open(), actions, |store| {
            drop(store);
            open()
        }));
    }
}
