//! Decides what becomes of something that happened: a new Event, one more of a known one, or nothing. It never sends.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use super::EventType;

/// Entries in each memory; the least recently used half goes when one is full.
const REMEMBERED_MAX: usize = 4096;
/// This many different messages of one reason about one object are told apart, the rest are combined.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// Events about one object: so many at once, and then one per interval.
const BURST_MAX: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) about: ObjectReference,
    pub(super) event_type: EventType,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Decision {
    Create(Event),
    Repeat { event: Event, patch: Value },
    Drop,
}

/// What was told before, within bounds.
pub(super) struct Correlator {
    component: String,
    host: String,
    told: Memory<TellingKey, Told>,
    similar: Memory<SimilarKey, Similar>,
    budgets: Memory<Object, Budget>,
}

type Object = (String, String, String, String, String);
type SimilarKey = (Object, EventType, &'static str);
type TellingKey = (SimilarKey, String);

/// An Event that was told, and how often. It is large, and many are remembered: the rest of it follows from what happens.
#[derive(Clone, Copy)]
struct Told {
    first: Timestamp,
    count: i32,
}

struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

struct Budget {
    left: f64,
    at: Timestamp,
}

impl Correlator {
    pub(super) fn new(component: &str, host: &str) -> Self {
        Self {
            component: component.to_owned(),
            host: host.to_owned(),
            told: Memory::new(),
            similar: Memory::new(),
            budgets: Memory::new(),
        }
    }

    pub(super) fn decide(&mut self, happening: Happening, now: Timestamp) -> Decision {
        let object = object_of(&happening.about);
        let similar_key = (object.clone(), happening.event_type, happening.reason);
        let (message, telling_key) = self.combined(similar_key, happening.message.clone(), now);
        if !self.within_budget(object, now) {
            return Decision::Drop;
        }
        if let Some(told) = self.told.get_mut(&telling_key) {
            told.count = told.count.saturating_add(1);
            let told = *told;
            let event = self.event(happening, message, told, now);
            let patch = json!({"count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message});
            return Decision::Repeat { event, patch };
        }
        let told = Told { first: now, count: 1 };
        self.told.insert(telling_key, told);
        Decision::Create(self.event(happening, message, told, now))
    }

    /// The message to tell, and what it counts as: itself, or one of too many that are alike.
    fn combined(&mut self, key: SimilarKey, message: String, now: Timestamp) -> (String, TellingKey) {
        if self.similar.get_mut(&key).is_none_or(|similar| now.duration_since(similar.last) > within()) {
            self.similar.insert(key.clone(), Similar { messages: BTreeSet::new(), last: now });
        }
        let similar = self.similar.get_mut(&key).expect("it was inserted just now");
        similar.last = now;
        similar.messages.insert(message.clone());
        if similar.messages.len() < SIMILAR_MAX {
            return (message.clone(), (key, message));
        }
        similar.messages.pop_first();
        (format!("(combined from similar events): {message}"), (key, String::new()))
    }

    fn within_budget(&mut self, object: Object, now: Timestamp) -> bool {
        if self.budgets.get_mut(&object).is_none() {
            self.budgets.insert(object.clone(), Budget { left: BURST_MAX, at: now });
        }
        let budget = self.budgets.get_mut(&object).expect("it was inserted just now");
        let refill = now.duration_since(budget.at).as_secs_f64().max(0.0) / REFILL_SECONDS;
        budget.left = (budget.left + refill).min(BURST_MAX);
        budget.at = now;
        let allowed = budget.left >= 1.0;
        if allowed {
            budget.left -= 1.0;
        }
        allowed
    }

    fn event(&self, happening: Happening, message: String, told: Told, now: Timestamp) -> Event {
        let Happening { about, event_type, reason, message: _ } = happening;
        let name = format!("{}.{:x}", about.name.as_deref().unwrap_or_default(), told.first.as_nanosecond());
        let namespace = about.namespace.clone().filter(|namespace| !namespace.is_empty());
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            involved_object: about,
            reason: Some(reason.to_owned()),
            message: Some(message),
            type_: Some(event_type.as_str().to_owned()),
            first_timestamp: Some(Time(told.first)),
            last_timestamp: Some(Time(now)),
            count: Some(told.count),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        }
    }
}

fn within() -> jiff::SignedDuration {
    SIMILAR_WITHIN.try_into().expect("ten minutes fit")
}

fn object_of(about: &ObjectReference) -> Object {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&about.kind), text(&about.namespace), text(&about.name), text(&about.uid), text(&about.field_path))
}

/// A map that forgets its least recently used half when it is full.
struct Memory<K, V> {
    entries: HashMap<K, (u64, V)>,
    clock: u64,
}

impl<K: Hash + Eq + Clone, V> Memory<K, V> {
    fn new() -> Self {
        Self { entries: HashMap::new(), clock: 0 }
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.entries.len() >= REMEMBERED_MAX {
            let mut used: Vec<u64> = self.entries.values().map(|(used, _)| *used).collect();
            let (_, median, _) = used.select_nth_unstable(REMEMBERED_MAX / 2);
            let median = *median;
            self.entries.retain(|_, (used, _)| *used > median);
        }
        self.clock += 1;
        self.entries.insert(key, (self.clock, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(name: &str, message: &str) -> Happening {
        let about = ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some("default".into()),
            name: Some(name.into()),
            ..ObjectReference::default()
        };
        Happening { about, event_type: EventType::Normal, reason: "Pulled", message: message.into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn correlator() -> Correlator {
        Correlator::new("kubelet", "n1")
    }

    #[test]
    fn the_same_again_is_counted() {
        let mut correlator = correlator();
        let Decision::Create(first) = correlator.decide(happening("web", "m"), at(1)) else { panic!() };
        assert_eq!(first.metadata.name.as_deref(), Some("web.3b9aca00"));
        let Decision::Repeat { event, patch } = correlator.decide(happening("web", "m"), at(2)) else { panic!() };
        assert_eq!(event.metadata.name, first.metadata.name);
        assert_eq!(patch, json!({"count": 2, "lastTimestamp": "1970-01-01T00:00:02Z", "message": "m"}));
    }

    #[test]
    fn many_that_are_alike_are_combined() {
        let mut correlator = correlator();
        for i in 0..9 {
            assert!(matches!(correlator.decide(happening("web", &format!("m{i}")), at(1)), Decision::Create(_)));
        }
        let Decision::Create(event) = correlator.decide(happening("web", "m9"), at(1)) else { panic!() };
        assert_eq!(event.message.as_deref(), Some("(combined from similar events): m9"));
        let Decision::Repeat { event, .. } = correlator.decide(happening("web", "m10"), at(1)) else { panic!() };
        assert_eq!((event.count, event.message.as_deref()), (Some(2), Some("(combined from similar events): m10")));
    }

    #[test]
    fn an_object_that_chatters_is_silenced_for_a_while() {
        let mut correlator = correlator();
        let n_told =
            (0..40).filter(|_| !matches!(correlator.decide(happening("web", "m"), at(1)), Decision::Drop)).count();
        assert_eq!(n_told, 25);
        assert!(matches!(correlator.decide(happening("db", "m"), at(1)), Decision::Create(_)));
        assert!(matches!(correlator.decide(happening("web", "m"), at(302)), Decision::Repeat { .. }));
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::new();
        for i in 0..3 * REMEMBERED_MAX {
            memory.insert(i, ());
            memory.get_mut(&0);
        }
        assert!(memory.entries.len() <= REMEMBERED_MAX);
        assert!(memory.get_mut(&0).is_some(), "what is used stays");
    }
}
