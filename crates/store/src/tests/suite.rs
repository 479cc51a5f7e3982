//! What every engine must do, written once against the `Store` interface: an engine joins with one more `suite!` line.

use super::{put, receive_to, value};
use crate::{Compare, Error, ListOptions, Op, Store, Txn, TxnOutcome};

/// Runs every test of the suite against the empty stores that `$open` makes.
macro_rules! suite {
    ($engine:ident, $open:expr, [$($name:ident),* $(,)?]) => {
        mod $engine {
            $(
                #[tokio::test]
                async fn $name() {
                    let (store, _keep) = $open;
                    super::$name(store).await;
                }
            )*
        }
    };
    ($engine:ident, $open:expr) => {
        suite!($engine, $open, [
            an_empty_store_is_at_revision_one,
            every_change_gets_the_next_revision,
            the_changes_of_a_transaction_share_a_revision,
            a_failed_comparison_changes_nothing_and_shows_what_is_there,
            a_transaction_without_effect_takes_no_revision,
            a_key_may_change_only_once_in_a_transaction,
            a_key_that_is_deleted_and_created_again_begins_anew,
            a_list_is_ordered_and_pages_stay_at_their_revision,
            a_list_knows_where_its_prefix_ends,
            a_list_ends_where_its_bytes_do,
            the_future_cannot_be_read,
            the_compacted_past_cannot_be_read_or_watched,
            compacting_twice_or_into_the_future_is_refused,
            a_watch_gives_the_past_and_then_the_present,
            a_watch_sees_only_its_prefix,
            a_watch_may_begin_in_the_future,
            many_writers_of_one_key_lose_no_update,
        ]);
    };
}

suite!(memory, (crate::Store::memory(), ()));
suite!(redb, {
    let dir = tempfile::tempdir().unwrap();
    (crate::Store::open(crate::Options::new(dir.path())).unwrap(), dir)
});

async fn an_empty_store_is_at_revision_one(store: Store) {
    assert_eq!(store.revision(), 1);
    assert_eq!(store.get("a").await.unwrap(), (1, None));
    let list = store.list("", ListOptions::default()).await.unwrap();
    assert_eq!((list.revision, list.items.len(), list.more), (1, 0, false));
}

async fn every_change_gets_the_next_revision(store: Store) {
    assert_eq!(put(&store, "a", "1").await, 2);
    assert_eq!(put(&store, "b", "1").await, 3);
    assert_eq!(put(&store, "a", "2").await, 4);
    let kv = store.get("a").await.unwrap().1.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 4, 2));
    assert_eq!(store.txn(Txn::delete("a", 4)).await.unwrap(), TxnOutcome::Committed { revision: 5 });
    assert_eq!(store.get("a").await.unwrap(), (5, None));
}

async fn the_changes_of_a_transaction_share_a_revision(store: Store) {
    put(&store, "old", "1").await;
    let success = vec![
        Op::Put { key: "b".into(), value: "1".into() },
        Op::Delete { key: "old".into() },
        Op::Put { key: "a".into(), value: "1".into() },
    ];
    let outcome = store.txn(Txn { compare: Vec::new(), success }).await.unwrap();
    assert_eq!(outcome, TxnOutcome::Committed { revision: 3 });
    let mut watch = store.watch("", 2).await.unwrap();
    let events = watch.recv().await.unwrap();
    let order: Vec<_> = events.iter().map(|event| (&*event.key, event.revision)).collect();
    assert_eq!(order, [("b", 3), ("old", 3), ("a", 3)]);
}

async fn a_failed_comparison_changes_nothing_and_shows_what_is_there(store: Store) {
    put(&store, "a", "1").await;
    let compare = vec![
        Compare { key: "a".into(), mod_revision: 2 },
        Compare { key: "b".into(), mod_revision: 7 },
        Compare { key: "a".into(), mod_revision: 0 },
    ];
    let a = store.get("a").await.unwrap().1;
    let txn = Txn { compare, success: vec![Op::Delete { key: "a".into() }] };
    let conflict = TxnOutcome::Conflict { revision: 2, current: vec![a.clone(), None, a] };
    assert_eq!(store.txn(txn).await.unwrap(), conflict);
    assert_eq!(store.revision(), 2);
}

async fn a_transaction_without_effect_takes_no_revision(store: Store) {
    put(&store, "a", "1").await;
    assert_eq!(store.txn(Txn::delete("b", 0)).await.unwrap(), TxnOutcome::Committed { revision: 2 });
    assert_eq!(store.txn(Txn::default()).await.unwrap(), TxnOutcome::Committed { revision: 2 });
    assert_eq!(put(&store, "a", "1").await, 3, "putting the same value is a change");
}

async fn a_key_may_change_only_once_in_a_transaction(store: Store) {
    let twice = vec![Op::Put { key: "a".into(), value: "1".into() }, Op::Delete { key: "a".into() }];
    let refused = store.txn(Txn { compare: Vec::new(), success: twice }).await;
    assert!(matches!(refused, Err(Error::DuplicateKey { .. })), "{refused:?}");
    let refused = store.txn(Txn::put("", "1", 0)).await;
    assert!(matches!(refused, Err(Error::EmptyKey)), "{refused:?}");
    let refused = store.txn(Txn::put("a", vec![0; crate::Options::new("").txn_bytes_max], 0)).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert_eq!(store.revision(), 1);
}

async fn a_key_that_is_deleted_and_created_again_begins_anew(store: Store) {
    put(&store, "a", "1").await;
    store.txn(Txn::delete("a", 2)).await.unwrap();
    store.txn(Txn::put("a", "2", 0)).await.unwrap();
    let kv = store.get("a").await.unwrap().1.unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (4, 4, 1));
}

async fn a_list_is_ordered_and_pages_stay_at_their_revision(store: Store) {
    for key in ["p/c", "p/a", "q/x", "p/d", "p/b"] {
        put(&store, key, "old").await;
    }
    let first = store.list("p/", ListOptions { limit: Some(2), ..ListOptions::default() }).await.unwrap();
    assert_eq!(first.items.iter().map(|kv| &*kv.key).collect::<Vec<_>>(), ["p/a", "p/b"]);
    assert_eq!((first.revision, first.more, first.n_remaining), (6, true, 2));

    store.txn(Txn::delete("p/c", 2)).await.unwrap();
    put(&store, "p/cc", "new").await;
    put(&store, "p/d", "new").await;
    let next = ListOptions { revision: Some(6), after: Some("p/b".into()), limit: Some(9), ..ListOptions::default() };
    let second = store.list("p/", next).await.unwrap();
    let items: Vec<_> = second.items.iter().map(|kv| (&*kv.key, &kv.value[..])).collect();
    assert_eq!(items, [("p/c", &b"old"[..]), ("p/d", &b"old"[..])]);
    assert_eq!((second.revision, second.more, second.n_remaining), (6, false, 0));
}

async fn a_list_knows_where_its_prefix_ends(store: Store) {
    for key in ["a", "a/", "a/b", "a/\u{10FFFF}z", "a0", "b"] {
        put(&store, key, "").await;
    }
    let keys = async |prefix: &str, after: Option<&str>| {
        let options = ListOptions { after: after.map(Into::into), ..ListOptions::default() };
        let items = store.list(prefix, options).await.unwrap().items;
        items.iter().map(|kv| kv.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(keys("a/", None).await, ["a/", "a/b", "a/\u{10FFFF}z"]);
    assert_eq!(keys("a/", Some("a/")).await, ["a/b", "a/\u{10FFFF}z"]);
    assert_eq!(
        keys("a/", Some("a")).await,
        ["a/", "a/b", "a/\u{10FFFF}z"],
        "before the prefix is before its first key"
    );
    assert_eq!(keys("a/", Some("b")).await, [] as [&str; 0]);
    assert_eq!(keys("", Some("a0")).await, ["b"]);
}

async fn a_list_ends_where_its_bytes_do(store: Store) {
    for key in ["a", "b", "c"] {
        put(&store, key, "four").await;
    }
    let options = ListOptions { bytes_max: Some(5), uncounted: true, ..ListOptions::default() };
    let list = store.list("", options).await.unwrap();
    assert_eq!((list.items.len(), list.more, list.n_remaining), (2, true, 0));
    let large = ListOptions { bytes_max: Some(1), limit: Some(9), ..ListOptions::default() };
    assert_eq!(store.list("", large).await.unwrap().items.len(), 1, "one item is there, whatever its size");
}

async fn the_future_cannot_be_read(store: Store) {
    let refused = store.list("", ListOptions { revision: Some(2), ..ListOptions::default() }).await;
    assert!(matches!(refused, Err(Error::FutureRevision { requested: 2, current: 1 })), "{refused:?}");
}

async fn the_compacted_past_cannot_be_read_or_watched(store: Store) {
    for n in 0..5 {
        put(&store, "a", &n.to_string()).await;
    }
    store.compact(4).await.unwrap();
    assert_eq!(store.compacted(), 4);
    let refused = store.list("", ListOptions { revision: Some(3), ..ListOptions::default() }).await;
    assert!(matches!(refused, Err(Error::Compacted { requested: 3, compacted: 4 })), "{refused:?}");
    let refused = store.watch("", 3).await.map(drop);
    assert!(matches!(refused, Err(Error::Compacted { requested: 3, compacted: 4 })), "{refused:?}");

    let oldest = store.list("", ListOptions { revision: Some(4), ..ListOptions::default() }).await.unwrap();
    assert_eq!(&oldest.items[0].value[..], b"2");
    let mut watch = store.watch("", 4).await.unwrap();
    let events = receive_to(&mut watch, 6).await;
    assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(&events[0].prev.as_ref().unwrap().value[..], b"2");
}

async fn compacting_twice_or_into_the_future_is_refused(store: Store) {
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    store.compact(2).await.unwrap();
    let refused = store.compact(2).await;
    assert!(matches!(refused, Err(Error::Compacted { requested: 2, compacted: 2 })), "{refused:?}");
    let refused = store.compact(4).await;
    assert!(matches!(refused, Err(Error::FutureRevision { requested: 4, current: 3 })), "{refused:?}");
    store.compact(3).await.unwrap();
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
}

async fn a_watch_gives_the_past_and_then_the_present(store: Store) {
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    let mut watch = store.watch("a", 2).await.unwrap();
    let past = receive_to(&mut watch, 3).await;
    let (put_3, delete_4) = (&past[0], async {
        store.txn(Txn::delete("a", 3)).await.unwrap();
        watch.recv().await.unwrap()
    });
    assert_eq!((put_3.revision, put_3.prev.as_ref().map(|prev| prev.mod_revision)), (3, Some(2)));
    let present = delete_4.await;
    assert_eq!((present.len(), present[0].revision, &present[0].kv), (1, 4, &None));
    assert_eq!(present[0].prev, past[0].kv);
}

async fn a_watch_sees_only_its_prefix(store: Store) {
    let mut watch = store.watch("p/", 1).await.unwrap();
    for key in ["p", "p/1", "q/1", "p/2", "p0"] {
        put(&store, key, "").await;
    }
    let events = receive_to(&mut watch, 6).await;
    assert_eq!(events.iter().map(|event| &*event.key).collect::<Vec<_>>(), ["p/1", "p/2"]);
    assert_eq!(watch.progress(), Some(6));
}

async fn a_watch_may_begin_in_the_future(store: Store) {
    let mut watch = store.watch("", 3).await.unwrap();
    for n in 0..3 {
        put(&store, "a", &n.to_string()).await;
    }
    let events = receive_to(&mut watch, 4).await;
    assert_eq!(events.iter().map(|event| event.revision).collect::<Vec<_>>(), [4]);
}

async fn many_writers_of_one_key_lose_no_update(store: Store) {
    const WRITERS: u64 = 16;
    const INCREMENTS: u64 = 12;
    let writer = async || {
        for _ in 0..INCREMENTS {
            loop {
                let kv = store.get("counter").await.unwrap().1;
                let count: u64 = kv.as_ref().map_or(0, |kv| std::str::from_utf8(&kv.value).unwrap().parse().unwrap());
                let seen = kv.map_or(0, |kv| kv.mod_revision);
                let outcome = store.txn(Txn::put("counter", (count + 1).to_string(), seen)).await.unwrap();
                if matches!(outcome, TxnOutcome::Committed { .. }) {
                    break;
                }
            }
        }
    };
    futures::future::join_all((0..WRITERS).map(|_| writer())).await;
    assert_eq!(value(&store, "counter").await, Some((WRITERS * INCREMENTS).to_string()));
    assert_eq!(store.revision(), 1 + WRITERS * INCREMENTS);
}
