//! The keys that wait for a look. It holds each key at most once, so its size is bounded by the number of objects.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coracle_stdx::Backoff;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Name;

const RETRY_BASE: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_secs(1000);
/// What was refused would be refused again, until somebody does something about it.
const REFUSED_BASE: Duration = Duration::from_millis(100);
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// How a look failed, and so how soon the next one is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Passing,
    Refused,
}

impl Failure {
    fn backoff(self) -> Backoff {
        match self {
            Self::Passing => Backoff::new(RETRY_BASE, RETRY_MAX),
            Self::Refused => Backoff::new(REFUSED_BASE, REFUSED_MAX),
        }
    }
}

/// A key that is asked for while it is being looked at is handed out again afterwards.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    n_retries: AtomicU64,
}

struct State<T> {
    ready: VecDeque<T>,
    /// Since when it is wanted.
    wanted: HashMap<T, Instant>,
    n_added: u64,
    in_hand: HashSet<T>,
    later: BTreeSet<(Instant, T)>,
    due: HashMap<T, Instant>,
    failures: HashMap<T, (Failure, Backoff)>,
}

impl<T: Name> Queue<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::new()), changed: Notify::new(), n_retries: AtomicU64::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().wanted.len()
    }

    /// How often a key was added that did not wait, and how often one was put off.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.state.lock().n_added, self.n_retries.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, key: T) {
        self.state.lock().want(key, Instant::now());
        self.changed.notify_one();
    }

    /// Adds the key once `delay` has passed; of several delays the shortest counts.
    pub(super) fn add_after(&self, key: T, delay: Duration) {
        self.n_retries.fetch_add(1, Ordering::Relaxed);
        self.state.lock().schedule(key, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Waits for a key; it is in the caller's hand until [`Queue::done`]. Cancel-safe.
    #[cfg(test)]
    async fn next(&self) -> T {
        self.next_waited().await.0
    }

    /// The same, with how long the key waited.
    pub(super) async fn next_waited(&self) -> (T, Duration) {
        loop {
            let next_due = {
                let mut state = self.state.lock();
                state.promote(Instant::now());
                if let Some((key, since)) = state.take() {
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return (key, since.elapsed());
                }
                state.later.first().map(|(due, _)| *due)
            };
            match next_due {
                Some(due) => drop(tokio::time::timeout_at(due, self.changed.notified()).await),
                None => self.changed.notified().await,
            }
        }
    }

    pub(super) fn done(&self, key: &T) {
        let mut state = self.state.lock();
        state.in_hand.remove(key);
        if state.wanted.contains_key(key) {
            state.ready.push_back(key.clone());
            self.changed.notify_one();
        }
    }

    pub(super) fn succeeded(&self, key: &T) {
        self.state.lock().failures.remove(key);
    }

    /// Adds the key again after a delay that grows with each failure of this sort in a row.
    pub(super) fn failed(&self, key: &T, failure: Failure) {
        self.n_retries.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        let known = state.failures.entry(key.clone()).or_insert_with(|| (failure, failure.backoff()));
        if known.0 != failure {
            *known = (failure, failure.backoff());
        }
        let delay = known.1.next_delay();
        state.schedule(key.clone(), Instant::now() + delay);
        self.changed.notify_one();
    }
}

impl<T: Name> State<T> {
    fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            wanted: HashMap::new(),
            n_added: 0,
            in_hand: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    fn want(&mut self, key: T, now: Instant) {
        if self.wanted.contains_key(&key) {
            return;
        }
        self.wanted.insert(key.clone(), now);
        self.n_added += 1;
        if !self.in_hand.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn schedule(&mut self, key: T, due: Instant) {
        match self.due.get(&key) {
            Some(known) if *known <= due => return,
            Some(known) => {
                self.later.remove(&(*known, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), due);
        self.later.insert((due, key));
    }

    fn promote(&mut self, now: Instant) {
        while let Some((due, key)) = self.later.pop_first() {
            if due > now {
                self.later.insert((due, key));
                break;
            }
            self.due.remove(&key);
            self.want(key, due);
        }
    }

    fn take(&mut self) -> Option<(T, Instant)> {
        let key = self.ready.pop_front()?;
        let since = self.wanted.remove(&key).expect("what is ready is wanted");
        self.in_hand.insert(key.clone());
        Some((key, since))
    }
}

#[cfg(test)]
mod tests {
    use coracle_client::Key;
    use futures::FutureExt;

    use super::*;

    fn key(name: &str) -> Key {
        Key::cluster(name)
    }

    #[tokio::test]
    async fn a_key_waits_once_however_often_it_is_added() {
        let queue = Queue::new();
        queue.add(key("a"));
        queue.add(key("b"));
        queue.add(key("a"));
        assert_eq!((queue.next().await, queue.next().await), (key("a"), key("b")));
        assert!(queue.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_key_in_hand_is_not_handed_out_twice() {
        let queue = Queue::new();
        queue.add(key("a"));
        let held = queue.next().await;
        queue.add(key("a"));
        assert!(queue.next().now_or_never().is_none());
        queue.done(&held);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_delay_a_key_more_and_more_until_it_succeeds() {
        let queue = Queue::new();
        let mut delays = Vec::new();
        queue.add(key("a"));
        for _ in 0..4 {
            let started = Instant::now();
            let held = queue.next().await;
            delays.push(started.elapsed().as_millis());
            queue.failed(&held, Failure::Passing);
            queue.done(&held);
        }
        assert_eq!(delays, [0, 5, 10, 20]);
        let held = queue.next().await;
        queue.succeeded(&held);
        queue.failed(&held, Failure::Passing);
        queue.done(&held);
        let started = Instant::now();
        queue.next().await;
        assert_eq!(started.elapsed().as_millis(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_waits_longer_but_never_long() {
        let queue = Queue::new();
        let mut delays = Vec::new();
        queue.add(key("a"));
        for _ in 0..12 {
            let started = Instant::now();
            let held = queue.next().await;
            delays.push(started.elapsed().as_millis());
            queue.failed(&held, Failure::Refused);
            queue.done(&held);
        }
        assert_eq!(delays[..5], [0, 100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_delays_the_shorter_counts() {
        let queue = Queue::new();
        queue.add_after(key("a"), Duration::from_secs(10));
        queue.add_after(key("a"), Duration::from_secs(3));
        queue.add_after(key("a"), Duration::from_secs(5));
        let started = Instant::now();
        let held = queue.next().await;
        assert_eq!(started.elapsed().as_secs(), 3);
        queue.done(&held);
        assert!(queue.next().now_or_never().is_none());
    }
}
