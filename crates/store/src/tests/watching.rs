//! Watchers that are slow, many, or left behind.

use futures::FutureExt;

use super::{put, receive_to, small_store};
use crate::{Error, Store};

#[tokio::test]
async fn a_slow_watcher_is_dropped_and_told() {
    let store = small_store();
    let mut slow = store.watch("a", 1).await.unwrap();
    let mut fast = store.watch("a", 1).await.unwrap();
    let mut n_received = 0;
    for n in 0..40 {
        let revision = put(&store, "a", &n.to_string()).await;
        n_received += receive_to(&mut fast, revision).await.len();
    }
    assert_eq!(n_received, 40);
    let told = slow.recv().await;
    assert!(matches!(told, Err(Error::Lagged { .. })), "{told:?}");
    assert!(matches!(slow.recv().await, Err(Error::Lagged { .. })), "it stays dropped");
    assert_eq!(slow.progress(), None);
}

#[tokio::test]
async fn a_quiet_prefix_never_lags() {
    let store = small_store();
    let mut quiet = store.watch("quiet", 1).await.unwrap();
    for n in 0..40 {
        put(&store, "noisy", &n.to_string()).await;
    }
    assert_eq!(quiet.progress(), Some(41));
    put(&store, "quiet", "").await;
    assert_eq!(quiet.progress(), Some(41), "nothing is reported before it was received");
    assert_eq!(quiet.recv().await.unwrap()[0].revision, 42);
    assert_eq!(quiet.progress(), Some(42));
}

#[tokio::test]
async fn only_the_watchers_of_a_prefix_are_woken() {
    let store = small_store();
    let mut pods = store.watch("/pods/", 1).await.unwrap();
    let mut nodes = store.watch("/nodes/", 1).await.unwrap();
    let (woken_pods, woken_nodes) = (futures_waker::counting(), futures_waker::counting());
    assert!(woken_pods.poll(pods.recv()).is_none());
    assert!(woken_nodes.poll(nodes.recv()).is_none());
    put(&store, "/pods/a", "").await;
    assert!(pods.recv().now_or_never().is_some());
    assert_eq!((woken_pods.n_wakes(), woken_nodes.n_wakes()), (0, 0), "a dropped recv is not woken");

    let mut waiting_pods = Box::pin(pods.recv());
    let mut waiting_nodes = Box::pin(nodes.recv());
    assert!(woken_pods.poll(waiting_pods.as_mut()).is_none());
    assert!(woken_nodes.poll(waiting_nodes.as_mut()).is_none());
    put(&store, "/pods/a", "").await;
    waiting_pods.await.unwrap();
    assert_eq!((woken_pods.n_wakes(), woken_nodes.n_wakes()), (1, 0));
}

#[tokio::test]
async fn closing_the_store_ends_its_watches() {
    let store = small_store();
    let mut watch = store.watch("", 1).await.unwrap();
    put(&store, "a", "").await;
    drop(store);
    assert_eq!(watch.recv().await.unwrap().len(), 1, "what came before the end is received");
    assert!(matches!(watch.recv().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_watcher_far_behind_catches_up_in_portions() {
    let store = Store::memory();
    for n in 0..600 {
        put(&store, &format!("k{n}"), "").await;
    }
    let mut watch = store.watch("k", 1).await.unwrap();
    let first = watch.recv().await.unwrap();
    assert!(first.len() < 600);
    assert_eq!(watch.progress(), Some(first.last().unwrap().revision));
    let rest = receive_to(&mut watch, 601).await;
    let revisions: Vec<u64> = first.iter().chain(&rest).map(|event| event.revision).collect();
    assert_eq!(revisions, (2..=601).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_portion_holds_so_many_bytes() {
    let store = Store::memory();
    let large = "x".repeat(200 << 10);
    for n in 0..4 {
        put(&store, &format!("k{n}"), &large).await;
    }
    let mut watch = store.watch("k", 1).await.unwrap();
    let portions = [watch.recv().await.unwrap().len(), watch.recv().await.unwrap().len()];
    assert_eq!(portions, [2, 2], "what is larger than half a portion comes in twos");
}

/// Polls once with a waker that counts.
mod futures_waker {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    pub(super) struct Counting(Arc<Wakes>);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counting() -> Counting {
        Counting(Arc::default())
    }

    impl Counting {
        pub(super) fn poll<F: Future>(&self, future: F) -> Option<F::Output> {
            let waker = Waker::from(Arc::clone(&self.0));
            match pin!(future).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            }
        }

        pub(super) fn n_wakes(&self) -> usize {
            self.0.0.load(Ordering::Relaxed)
        }
    }
}
