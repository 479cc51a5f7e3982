//! Pods that wait for a node: ready to be looked at, backing off, or in want of a change. Time is a parameter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use coracle_client::Key;
use tokio::time::Instant;

use crate::subject::Subject;

const BACKOFF_BASE: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A pod that nothing happened for is tried again after this long all the same.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

/// Holds each pod once. Its size is bounded by the number of pending pods.
#[derive(Default)]
pub(crate) struct Queue {
    pods: HashMap<Key, Waiting>,
    /// More important pods first, then those that wait longer.
    active: BTreeSet<(Reverse<i32>, Instant, Key)>,
    backing_off: BTreeSet<(Instant, Key)>,
    unschedulable: BTreeMap<Key, Instant>,
    /// Moves with every change that may help: a pod that was being looked at meanwhile is tried again soon.
    n_moves: u64,
}

struct Waiting {
    subject: Arc<Subject>,
    n_attempts: u32,
    since: Instant,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Active,
    BackingOff(Instant),
    Unschedulable,
    InHand { n_moves: u64 },
}

impl Queue {
    /// Adds a pod, or takes its new form. A pod whose wishes changed is tried at once.
    pub(crate) fn set(&mut self, subject: Arc<Subject>, now: Instant) {
        let key = subject.key.clone();
        let Some(waiting) = self.pods.get_mut(&key) else {
            let waiting = Waiting { subject, n_attempts: 0, since: now, part: Part::Active };
            self.active.insert(order(&key, &waiting));
            self.pods.insert(key, waiting);
            return;
        };
        let wishes_differ = waiting.subject.pod.spec != subject.pod.spec
            || waiting.subject.pod.metadata.labels != subject.pod.metadata.labels
            || waiting.subject.uid() != subject.uid();
        if wishes_differ && !matches!(waiting.part, Part::InHand { .. }) {
            self.take_out(&key);
            let waiting = Waiting { subject, n_attempts: 0, since: now, part: Part::Active };
            self.active.insert(order(&key, &waiting));
            self.pods.insert(key, waiting);
        } else {
            waiting.subject = subject;
        }
    }

    /// The pod waits no more: it is bound, or gone.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.take_out(key);
    }

    /// The next pod to look at; it stays in hand until it is removed or put back.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Arc<Subject>> {
        self.promote(now);
        let (_, _, key) = self.active.pop_first()?;
        let waiting = self.pods.get_mut(&key).expect("what is active waits");
        waiting.part = Part::InHand { n_moves: self.n_moves };
        waiting.n_attempts += 1;
        Some(waiting.subject.clone())
    }

    /// No node fits the pod now.
    pub(crate) fn put_back_unschedulable(&mut self, key: &Key, now: Instant) {
        let Some(Waiting { part: Part::InHand { n_moves }, .. }) = self.pods.get(key) else { return };
        if *n_moves != self.n_moves {
            return self.put_back(key, now);
        }
        self.unschedulable.insert(key.clone(), now);
        self.set_part(key, Part::Unschedulable);
    }

    /// Something else failed: the pod is tried again after its back-off.
    pub(crate) fn put_back(&mut self, key: &Key, now: Instant) {
        let Some(waiting) = self.pods.get(key) else { return };
        let due = now + backoff(waiting.n_attempts);
        self.backing_off.insert((due, key.clone()));
        self.set_part(key, Part::BackingOff(due));
    }

    /// The cluster changed for the better: everybody may try again, after the back-off of their last attempt.
    pub(crate) fn move_all(&mut self, now: Instant) {
        self.n_moves += 1;
        for (key, failed) in std::mem::take(&mut self.unschedulable) {
            let n_attempts = self.pods.get(&key).map_or(0, |waiting| waiting.n_attempts);
            let due = failed + backoff(n_attempts);
            self.backing_off.insert((due, key.clone()));
            self.set_part(&key, Part::BackingOff(due));
        }
        self.promote(now);
    }

    /// When the queue has something to do by time alone.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let backed_off = self.backing_off.first().map(|(due, _)| *due);
        let forgotten = self.unschedulable.values().min().map(|since| *since + UNSCHEDULABLE_MAX);
        backed_off.into_iter().chain(forgotten).min()
    }

    /// True when a pod of this sort found no node.
    pub(crate) fn is_anybody_stuck(&self, sort: impl Fn(&Subject) -> bool) -> bool {
        self.unschedulable.keys().any(|key| self.pods.get(key).is_some_and(|waiting| sort(&waiting.subject)))
    }

    /// How many pods wait in each part: active, backing off, unschedulable.
    pub(crate) fn depths(&self) -> (usize, usize, usize) {
        (self.active.len(), self.backing_off.len(), self.unschedulable.len())
    }

    fn promote(&mut self, now: Instant) {
        while let Some((due, key)) = self.backing_off.pop_first() {
            if due > now {
                self.backing_off.insert((due, key));
                break;
            }
            self.activate(&key);
        }
        let is_over = |since: &Instant| *since + UNSCHEDULABLE_MAX <= now;
        let forgotten: Vec<Key> =
            self.unschedulable.iter().filter(|(_, since)| is_over(since)).map(|(key, _)| key.clone()).collect();
        for key in forgotten {
            self.unschedulable.remove(&key);
            self.activate(&key);
        }
    }

    fn activate(&mut self, key: &Key) {
        self.set_part(key, Part::Active);
        if let Some(waiting) = self.pods.get(key) {
            self.active.insert(order(key, waiting));
        }
    }

    fn set_part(&mut self, key: &Key, part: Part) {
        if let Some(waiting) = self.pods.get_mut(key) {
            waiting.part = part;
        }
    }

    fn take_out(&mut self, key: &Key) {
        let Some(waiting) = self.pods.remove(key) else { return };
        match waiting.part {
            Part::Active => drop(self.active.remove(&order(key, &waiting))),
            Part::BackingOff(due) => drop(self.backing_off.remove(&(due, key.clone()))),
            Part::Unschedulable => drop(self.unschedulable.remove(key)),
            Part::InHand { .. } => {}
        }
    }
}

fn order(key: &Key, waiting: &Waiting) -> (Reverse<i32>, Instant, Key) {
    (Reverse(waiting.subject.priority()), waiting.since, key.clone())
}

fn backoff(n_attempts: u32) -> Duration {
    let doublings = n_attempts.saturating_sub(1).min(16);
    BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{changed, pod};

    fn subject(name: &str, priority: i32) -> Arc<Subject> {
        let change = serde_json::json!({"spec": {"priority": priority}});
        Arc::new(Subject::new(changed(&pod(name, "1", "1Gi"), change)))
    }

    fn name(subject: Option<Arc<Subject>>) -> Option<String> {
        subject.map(|subject| subject.key.name.clone())
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn important_pods_go_first_then_those_that_wait_longer() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(subject("late", 0), now + seconds(1));
        queue.set(subject("early", 0), now);
        queue.set(subject("important", 10), now + seconds(2));
        let order: Vec<_> = std::iter::from_fn(|| name(queue.pop(now + seconds(3)))).collect();
        assert_eq!(order, ["important", "early", "late"]);
    }

    #[test]
    fn a_pod_without_a_node_waits_for_a_change_and_its_backoff() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(subject("a", 0), now);
        let key = queue.pop(now).unwrap().key.clone();
        queue.put_back_unschedulable(&key, now);
        assert!(queue.pop(now + seconds(60)).is_none());
        queue.move_all(now + seconds(60));
        assert_eq!(name(queue.pop(now + seconds(60))).as_deref(), Some("a"));
        queue.put_back_unschedulable(&key, now + seconds(60));
        queue.move_all(now + seconds(61));
        assert!(queue.pop(now + seconds(61)).is_none(), "the second failure waits two seconds");
        assert_eq!(queue.next_due(), Some(now + seconds(62)));
        assert!(queue.pop(now + seconds(62)).is_some());
    }

    #[test]
    fn a_change_during_the_look_is_not_missed() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(subject("a", 0), now);
        let key = queue.pop(now).unwrap().key.clone();
        queue.move_all(now);
        queue.put_back_unschedulable(&key, now);
        assert!(queue.pop(now + seconds(1)).is_some());
    }

    #[test]
    fn a_forgotten_pod_is_tried_again_at_last() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(subject("a", 0), now);
        let key = queue.pop(now).unwrap().key.clone();
        queue.put_back_unschedulable(&key, now);
        assert_eq!(queue.next_due(), Some(now + UNSCHEDULABLE_MAX));
        assert!(queue.pop(now + UNSCHEDULABLE_MAX).is_some());
    }

    #[test]
    fn a_status_update_is_no_reason_to_try_and_a_new_wish_is() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(subject("a", 0), now);
        let first = queue.pop(now).unwrap();
        queue.put_back_unschedulable(&first.key, now);
        let told = changed(&first.pod, serde_json::json!({"status": {"phase": "Pending"}}));
        queue.set(Arc::new(Subject::new(told)), now);
        assert!(queue.pop(now).is_none());
        queue.set(subject("a", 5), now);
        assert!(queue.pop(now).is_some());
        queue.remove(&first.key);
        assert_eq!(queue.depths(), (0, 0, 0));
    }
}
