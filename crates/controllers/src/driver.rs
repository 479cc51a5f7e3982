//! Runs one control loop: keys in, reconciles out. It never looks at an object.

mod measure;
mod queue;

use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coracle_client::{Cached, Change, Informer, Key};
use coracle_stdx::{CancellationToken, Scope};
use futures::future::BoxFuture;
use tracing::{debug, warn};

use self::measure::Timer;
pub(crate) use self::measure::render;
pub use self::measure::{Histogram, LoopMetrics};
use self::queue::{Failure, Queue};
use crate::Error;

/// One loop's deciding and doing for one key. It looks at the world, never at what woke it, and may be called at any time.
pub(crate) trait Reconcile<T = Key>: Send + Sync + 'static {
    fn reconcile(&self, key: &T) -> impl Future<Output = Result<Next, Error>> + Send;
}

/// How a loop names what it looks at; mostly by [`Key`].
pub(crate) trait Name: Clone + Eq + Ord + Hash + Display + Send + Sync + 'static {}
impl<T: Clone + Eq + Ord + Hash + Display + Send + Sync + 'static> Name for T {}

/// What a reconcile that succeeded asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for a change.
    Change,
    /// Look again after this long, though nothing changes.
    After(Duration),
}

impl From<Option<Duration>> for Next {
    fn from(after: Option<Duration>) -> Self {
        after.map_or(Self::Change, Self::After)
    }
}

/// The shared part of a loop, from which its metrics are read.
pub(crate) struct Loop<T = Key> {
    name: &'static str,
    queue: Queue<T>,
    n_errors: AtomicU64,
    waits: Timer,
    works: Timer,
}

impl<T: Name> Loop<T> {
    pub(crate) fn metrics(&self) -> LoopMetrics {
        let ((n_added, n_retries), works) = (self.queue.counts(), self.works.read());
        LoopMetrics {
            name: self.name,
            n_waiting: self.queue.len(),
            n_added,
            n_reconciles: works.n,
            n_errors: self.n_errors.load(Ordering::Relaxed),
            n_retries,
            waits: self.waits.read(),
            works,
        }
    }

    /// Asks for a look at `key`, once, however often it is asked before that look begins.
    pub(crate) fn enqueue(&self, key: T) {
        self.queue.add(key);
    }
}

/// A loop under construction: feed it, then start it.
pub(crate) struct Driver<T = Key> {
    shared: Arc<Loop<T>>,
    ready: Vec<BoxFuture<'static, ()>>,
}

impl<T: Name> Driver<T> {
    pub(crate) fn new(name: &'static str) -> Self {
        let shared = Loop {
            name,
            queue: Queue::new(),
            n_errors: AtomicU64::new(0),
            waits: Timer::default(),
            works: Timer::default(),
        };
        Self { shared: Arc::new(shared), ready: Vec::new() }
    }

    pub(crate) fn shared(&self) -> Arc<Loop<T>> {
        self.shared.clone()
    }

    /// The loop reads this cache too: it begins only when the cache is complete.
    pub(crate) fn needs<K: Cached>(&mut self, informer: &Informer<K>) {
        let informer = informer.clone();
        self.ready.push(Box::pin(async move { informer.synced().await }));
    }

    /// Every change of `informer` becomes a look at the keys that `keys_of` gives.
    pub(crate) fn feed<K: Cached, E: Send + 'static>(
        &mut self,
        scope: &mut Scope<E>,
        informer: &Informer<K>,
        keys_of: impl Fn(&Change<K>) -> Vec<T> + Send + 'static,
    ) {
        self.needs(informer);
        let shared = self.shared.clone();
        let mut changes = informer.subscribe();
        scope.spawn(|token| async move {
            while let Some(changes) = token.run_until_cancelled(changes.next()).await {
                changes.iter().flat_map(&keys_of).for_each(|key| shared.queue.add(key));
            }
            Ok(())
        });
    }

    /// Looks at `key` every `interval`, for loops over the whole of something.
    pub(crate) fn tick<E: Send + 'static>(&self, scope: &mut Scope<E>, key: T, interval: Duration) {
        let shared = self.shared.clone();
        scope.spawn(move |token| async move {
            while !token.is_cancelled() {
                shared.queue.add(key.clone());
                token.run_until_cancelled(tokio::time::sleep(interval)).await;
            }
            Ok(())
        });
    }

    /// Starts the workers. A key is never in the hands of two of them.
    pub(crate) fn start<R: Reconcile<T>, E: Send + 'static>(
        self,
        scope: &mut Scope<E>,
        n_workers: usize,
        reconciler: R,
    ) {
        let shared = self.shared;
        scope.spawn(move |token| async move {
            if token.run_until_cancelled(futures::future::join_all(self.ready)).await.is_none() {
                return Ok(());
            }
            let mut workers = Scope::child_of(&token);
            let reconciler = Arc::new(reconciler);
            for _ in 0..n_workers {
                let (shared, reconciler) = (shared.clone(), reconciler.clone());
                workers.spawn(|token| async move {
                    work(&shared, &*reconciler, &token).await;
                    Ok(())
                });
            }
            workers.join().await
        });
    }
}

async fn work<T: Name, R: Reconcile<T>>(shared: &Loop<T>, reconciler: &R, token: &CancellationToken) {
    while let Some((key, waited)) = token.run_until_cancelled(shared.queue.next_waited()).await {
        shared.waits.observe(waited);
        let started = Instant::now();
        let outcome = reconciler.reconcile(&key).await;
        shared.works.observe(started.elapsed());
        settle(shared, key, outcome);
    }
}

fn settle<T: Name>(shared: &Loop<T>, key: T, outcome: Result<Next, Error>) {
    match outcome {
        Ok(next) => {
            shared.queue.succeeded(&key);
            if let Next::After(delay) = next {
                shared.queue.add_after(key.clone(), delay);
            }
        }
        Err(error) => {
            shared.n_errors.fetch_add(1, Ordering::Relaxed);
            let line = error.line();
            if error.is_stale() {
                debug!(controller = shared.name, %key, error = line, "reconcile met a newer world");
            } else {
                warn!(controller = shared.name, %key, error = line, "reconcile failed");
            }
            shared.queue.failed(&key, if error.is_refused() { Failure::Refused } else { Failure::Passing });
        }
    }
    shared.queue.done(&key);
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Flaky {
        looked: mpsc::Sender<Key>,
        n_failures: AtomicU64,
    }

    impl Reconcile for Flaky {
        async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
            self.looked.send(key.clone()).await.expect("the test listens");
            if self.n_failures.fetch_sub(1, Ordering::Relaxed) > 1 {
                return Err(Error::Replaced { subject: key.clone() });
            }
            Ok(Next::Change)
        }
    }

    /// Fails for ever at one key.
    struct Choosy(mpsc::Sender<Key>);

    impl Reconcile for Choosy {
        async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
            if key.name == "bad" {
                return Err(Error::Replaced { subject: key.clone() });
            }
            self.0.send(key.clone()).await.expect("the test listens");
            Ok(Next::Change)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_fails_at_one_object_goes_on_with_the_others() {
        let (looked, mut seen) = mpsc::channel(1);
        let driver = Driver::new("test");
        let shared = driver.shared();
        let mut scope = Scope::<Error>::child_of(&CancellationToken::new());
        driver.start(&mut scope, 1, Choosy(looked));
        for round in 0..50 {
            shared.enqueue(Key::cluster("bad"));
            shared.enqueue(Key::cluster("good"));
            let next = tokio::time::timeout(Duration::from_secs(1), seen.recv()).await;
            assert_eq!(next, Ok(Some(Key::cluster("good"))), "in round {round}");
        }
        assert!(shared.metrics().n_errors >= 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_fails_is_tried_again_and_counted() {
        let (looked, mut seen) = mpsc::channel(1);
        let driver = Driver::new("test");
        let shared = driver.shared();
        let mut scope = Scope::<Error>::child_of(&CancellationToken::new());
        driver.start(&mut scope, 2, Flaky { looked, n_failures: AtomicU64::new(3) });
        shared.enqueue(Key::cluster("a"));
        for _ in 0..3 {
            assert_eq!(seen.recv().await.unwrap(), Key::cluster("a"));
        }
        scope.cancel();
        scope.join().await.unwrap();
        let metrics = shared.metrics();
        assert_eq!((metrics.n_reconciles, metrics.n_errors, metrics.n_waiting), (3, 2, 0));
        assert_eq!((metrics.n_added, metrics.n_retries, metrics.waits.n), (3, 2, 3));
    }
}
