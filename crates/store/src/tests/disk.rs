//! A disk in memory that can lose what was not synced, fill up, fail to sync, stall and lose power; and what the store
//! does about each.

mod simulated;

use std::time::Duration;

use futures::FutureExt;

use super::{put, receive_to, small, small_store, value};
use crate::{Error, ListOptions, Options, Store, Txn};
pub(super) use simulated::{Disk, Random};

fn open(disk: &Disk) -> Store {
    Store::over(Box::new(disk.clone()), small()).unwrap()
}

/// Writes until the disk refuses, and returns how many writes it took.
async fn fill(store: &Store) -> usize {
    for n in 0.. {
        match store.txn(Txn::put(format!("fill/{n}"), vec![7; 20_000], 0)).await {
            Ok(_) => {}
            Err(Error::Disk { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a disk has an end")
}

async fn n_keys(store: &Store) -> usize {
    store.list("fill/", ListOptions::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_takes_them_again_once_there_is_room() {
    let disk = Disk::default();
    let store = open(&disk);
    let mut watch = store.watch("fill/", 1).await.unwrap();
    disk.set_capacity(Some(disk.len() + 300_000));
    let n_acknowledged = fill(&store).await;
    assert!(n_acknowledged > 3);
    let again = Txn::put("again", vec![7; 20_000], 0);
    assert!(matches!(store.txn(again).await, Err(Error::Disk { .. })), "still full");
    assert_eq!(n_keys(&store).await, n_acknowledged, "reads go on, and what was refused did not happen");

    disk.set_capacity(None);
    let revision = put(&store, "after", "1").await;
    assert_eq!(revision, 2 + n_acknowledged as u64, "what was refused took no revision");
    drop(store);
    let store = open(&disk);
    assert_eq!((n_keys(&store).await, store.revision()), (n_acknowledged, revision));
    assert_eq!(value(&store, "after").await.as_deref(), Some("1"));
    assert!(watch.recv().await.is_err(), "its store is closed, or it has fallen behind");
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_written_anew() {
    let disk = Disk::default();
    let store = open(&disk);
    for n in 0..20 {
        put(&store, &format!("k{n}"), "before").await;
    }
    store.txn(Txn::delete("k3", 5)).await.unwrap();
    disk.fail_next_sync();
    assert!(matches!(store.txn(Txn::put("lost", "1", 0)).await, Err(Error::Disk { .. })));
    let revision = put(&store, "k0", "after").await;
    assert_eq!((value(&store, "lost").await, disk.n_promoted()), (None, 2));

    let past = ListOptions { revision: Some(store.compacted()), ..ListOptions::default() };
    let (newest, oldest) = (store.list("", ListOptions::default()).await, store.list("", past.clone()).await);
    let store = open(&disk.lose_power(&mut Random::new(1)));
    assert_eq!(store.list("", ListOptions::default()).await.unwrap(), newest.unwrap());
    assert_eq!(store.list("", past).await.unwrap(), oldest.unwrap());
    assert_eq!(store.revision(), revision);
}

#[tokio::test]
async fn a_file_that_forgot_is_replaced_by_what_memory_knows() {
    let disk = Disk::default();
    let store = open(&disk);
    put(&store, "a", "1").await;
    let old = disk.image();
    put(&store, "b", "2").await;
    disk.fail_next_write();
    assert!(matches!(store.txn(Txn::put("c", "3", 0)).await, Err(Error::Disk { .. })));
    disk.restore(old);
    assert!(matches!(store.txn(Txn::put("c", "3", 0)).await, Err(Error::Disk { .. })), "noticed");
    put(&store, "d", "4").await;
    drop(store);
    let store = open(&disk);
    let list = store.list("", ListOptions::default()).await.unwrap();
    assert_eq!(list.items.iter().map(|kv| &*kv.key).collect::<Vec<_>>(), ["a", "b", "d"]);
}

#[tokio::test]
async fn between_attempts_to_reopen_writes_are_refused_at_once() {
    let disk = Disk::default();
    let options = Options { reopen_pause: Duration::from_secs(3600), ..small() };
    let store = Store::over(Box::new(disk.clone()), options).unwrap();
    disk.fail_next_write();
    for _ in 0..3 {
        assert!(matches!(store.txn(Txn::put("a", "1", 0)).await, Err(Error::Disk { .. })));
    }
    assert_eq!(disk.n_opened(), 1);
}

#[tokio::test]
async fn readers_do_not_wait_for_the_disk_and_see_only_what_is_durable() {
    let disk = Disk::default();
    let store = Store::over(Box::new(disk.clone()), Options { events_max: 100, ..small() }).unwrap();
    put(&store, "a", "1").await;
    let mut watch = store.watch("a", 2).await.unwrap();
    disk.stall(true);
    let seen = store.get("a").await.unwrap().1.unwrap().mod_revision;
    let mut writes = Box::pin(futures::future::join_all((0..20).map(|n| {
        let txn = if n == 0 { Txn::put("a", "2", seen) } else { Txn::put(format!("b{n}"), "2", 0) };
        store.txn(txn)
    })));
    assert!(writes.as_mut().now_or_never().is_none());
    disk.stalled().await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(store.list("", ListOptions::default()).await.unwrap().items.len(), 1);
    assert!(watch.recv().now_or_never().is_none());
    assert_eq!(watch.progress(), Some(2));
    disk.stall(false);
    assert!(writes.await.iter().all(Result::is_ok), "more than the queue holds, and all are served");
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
    assert_eq!(receive_to(&mut watch, store.revision()).await.len(), 1);
}

#[tokio::test]
async fn a_directory_belongs_to_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path())).unwrap();
    let refused = Store::open(Options::new(dir.path()));
    assert!(matches!(&refused, Err(Error::Locked { path }) if path == dir.path()), "{refused:?}");
    drop(store);
    Store::open(Options::new(dir.path())).unwrap();
}

#[tokio::test]
async fn what_is_no_store_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("store.redb"), "no database at all").unwrap();
    let refused = Store::open(Options::new(dir.path()));
    assert!(matches!(&refused, Err(Error::Open { .. })), "{refused:?}");
    let file = dir.path().join("store.redb");
    let refused = Store::open(Options::new(&file));
    assert!(matches!(&refused, Err(Error::Open { path, .. }) if *path == file), "{refused:?}");
}

#[tokio::test]
async fn a_restart_keeps_the_window_and_the_revision() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(Options { dir: dir.path().into(), ..small() }).unwrap();
    let store = open();
    for n in 0..30 {
        put(&store, &format!("k{}", n % 4), &n.to_string()).await;
    }
    store.txn(Txn::delete("k0", store.get("k0").await.unwrap().1.unwrap().mod_revision)).await.unwrap();
    let (revision, compacted) = (store.revision(), store.compacted());
    let past = ListOptions { revision: Some(compacted), ..ListOptions::default() };
    let list = store.list("", past.clone()).await.unwrap();
    let events = receive_to(&mut store.watch("", compacted).await.unwrap(), revision).await;
    drop(store);

    let store = open();
    assert_eq!((store.revision(), store.compacted()), (revision, compacted));
    assert_eq!(store.list("", past).await.unwrap(), list);
    assert_eq!(receive_to(&mut store.watch("", compacted).await.unwrap(), revision).await, events);
    assert_eq!(put(&store, "k0", "new").await, revision + 1);
}

#[tokio::test]
async fn the_window_is_bounded_by_bytes_too() {
    let store =
        Store::over(Box::new(Disk::default()), Options { history_bytes_max: 1000, ..Options::new("") }).unwrap();
    for _ in 0..10 {
        put(&store, "a", &"x".repeat(300)).await;
    }
    // Three replaced values fit beside the newest, which the window does not hold alone.
    assert_eq!(store.compacted(), store.revision() - 3);
    let unbounded_by_bytes = small_store();
    put(&unbounded_by_bytes, "a", &"x".repeat(3000)).await;
    assert_eq!(unbounded_by_bytes.compacted(), 1);
}

#[tokio::test]
async fn the_file_does_not_grow_with_updates() {
    let disk = Disk::default();
    let store = open(&disk);
    for _ in 0..100 {
        put(&store, "a", &"x".repeat(20_000)).await;
    }
    let len = disk.len();
    for _ in 0..300 {
        put(&store, "a", &"x".repeat(20_000)).await;
    }
    assert!(disk.len() <= 2 * len, "{} after {len}", disk.len());
}
