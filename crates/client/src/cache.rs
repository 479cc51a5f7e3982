//! The objects of an informer, with their indexes and subscribers. It never talks to anybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::changes::Pending;
use crate::{Cached, Changes, Key, revision_of};

/// Values under which an object is found.
pub(crate) type IndexFn<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

type Named<K> = BTreeMap<String, Arc<K>>;

struct Index<K> {
    name: &'static str,
    values_of: IndexFn<K>,
    found: HashMap<String, BTreeMap<Key, Arc<K>>>,
}

pub(crate) struct Cache<K> {
    namespaces: BTreeMap<String, Named<K>>,
    indexes: Vec<Index<K>>,
    subscribers: Vec<Weak<Pending<K>>>,
    revision: u64,
    len: usize,
}

impl<K: Cached> Cache<K> {
    pub(crate) fn new() -> Self {
        Self { namespaces: BTreeMap::new(), indexes: Vec::new(), subscribers: Vec::new(), revision: 0, len: 0 }
    }

    pub(crate) fn add_index(&mut self, name: &'static str, values_of: IndexFn<K>) {
        let mut index = Index { name, values_of, found: HashMap::new() };
        for (key, object) in self.entries() {
            index.insert(&key, object);
        }
        self.indexes.push(index);
    }

    pub(crate) fn subscribe(&mut self) -> Changes<K> {
        let pending = Arc::new(Pending::new());
        for (key, object) in self.entries() {
            pending.push(&key, None, Some(object));
        }
        self.subscribers.push(Arc::downgrade(&pending));
        Changes(pending)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.namespaces.get(namespace)?.get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.namespaces.values().flat_map(BTreeMap::values).cloned().collect()
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.namespaces.get(namespace).map(|named| named.values().cloned().collect()).unwrap_or_default()
    }

    /// # Panics
    /// When no index has this name.
    pub(crate) fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        let index = self.indexes.iter().find(|known| known.name == index).expect("the index was added before");
        index.found.get(value).map(|found| found.values().cloned().collect()).unwrap_or_default()
    }

    /// Moves on to a revision up to which nothing else has changed.
    pub(crate) fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    pub(crate) fn put(&mut self, object: K) {
        let key = Key::of(object.meta());
        self.advance(revision_of(object.meta()));
        self.put_at(&key, Arc::new(object));
    }

    pub(crate) fn remove(&mut self, meta: &ObjectMeta) {
        self.advance(revision_of(meta));
        self.remove_at(&Key::of(meta));
    }

    /// Becomes exactly `objects`, and tells subscribers only what differs.
    pub(crate) fn replace(&mut self, objects: Vec<K>, revision: u64) {
        let mut gone: BTreeMap<Key, ()> = self.entries().map(|(key, _)| (key, ())).collect();
        for object in objects {
            let key = Key::of(object.meta());
            gone.remove(&key);
            let known = self.get(&key.namespace, &key.name);
            if !known.is_some_and(|known| is_same(&*known, &object)) {
                self.put_at(&key, Arc::new(object));
            }
        }
        for key in gone.into_keys() {
            self.remove_at(&key);
        }
        // After a restore from a backup the server may count from further back.
        self.revision = revision;
    }

    fn entries(&self) -> impl Iterator<Item = (Key, &Arc<K>)> {
        self.namespaces
            .iter()
            .flat_map(|(namespace, named)| named.iter().map(move |(name, object)| (Key::new(namespace, name), object)))
    }

    fn put_at(&mut self, key: &Key, object: Arc<K>) {
        let named = self.namespaces.entry(key.namespace.clone()).or_default();
        let old = named.insert(key.name.clone(), object.clone());
        self.len += usize::from(old.is_none());
        self.told(key, old, Some(object));
    }

    fn remove_at(&mut self, key: &Key) {
        let Some(named) = self.namespaces.get_mut(&key.namespace) else { return };
        let Some(old) = named.remove(&key.name) else { return };
        if named.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        self.len -= 1;
        self.told(key, Some(old), None);
    }

    fn told(&mut self, key: &Key, old: Option<Arc<K>>, new: Option<Arc<K>>) {
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(key, old);
            }
            if let Some(new) = &new {
                index.insert(key, new);
            }
        }
        self.subscribers.retain(|subscriber| match subscriber.upgrade() {
            Some(pending) => {
                pending.push(key, old.as_ref(), new.as_ref());
                true
            }
            None => false,
        });
    }
}

fn is_same<K: Cached>(known: &K, object: &K) -> bool {
    let (known, object) = (known.meta(), object.meta());
    known.uid == object.uid && known.resource_version == object.resource_version && known.resource_version.is_some()
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &Arc<K>) {
        for value in (self.values_of)(object) {
            self.found.entry(value).or_default().insert(key.clone(), object.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values_of)(object) {
            if let Some(found) = self.found.get_mut(&value) {
                found.remove(key);
                if found.is_empty() {
                    self.found.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn object(namespace: &str, name: &str, revision: u64, label: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(namespace.into()),
                name: Some(name.into()),
                resource_version: Some(revision.to_string()),
                labels: Some([("app".to_owned(), label.to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn cache() -> Cache<ConfigMap> {
        let mut cache = Cache::new();
        cache.add_index(
            "app",
            Box::new(|object: &ConfigMap| object.metadata.labels.iter().flatten().map(|(_, v)| v.clone()).collect()),
        );
        cache
    }

    fn names(objects: Vec<Arc<ConfigMap>>) -> Vec<String> {
        objects.iter().map(|object| object.metadata.name.clone().unwrap()).collect()
    }

    #[test]
    fn an_index_follows_its_objects() {
        let mut cache = cache();
        cache.put(object("a", "x", 1, "web"));
        cache.put(object("b", "y", 2, "web"));
        assert_eq!(names(cache.by_index("app", "web")), ["x", "y"]);
        cache.put(object("a", "x", 3, "db"));
        assert_eq!(names(cache.by_index("app", "web")), ["y"]);
        cache.remove(&object("b", "y", 4, "web").metadata);
        assert!(cache.by_index("app", "web").is_empty());
        assert_eq!((cache.len(), cache.revision()), (1, 4));
        assert_eq!(names(cache.in_namespace("a")), ["x"]);
    }

    #[test]
    fn a_relist_tells_only_what_differs() {
        let mut cache = cache();
        for object in [object("a", "same", 1, ""), object("a", "changed", 2, ""), object("a", "gone", 3, "")] {
            cache.put(object);
        }
        let mut changes = cache.subscribe();
        assert_eq!(changes.take().len(), 3);
        cache.replace(vec![object("a", "same", 1, ""), object("a", "changed", 5, ""), object("a", "new", 6, "")], 9);
        let told: Vec<_> = changes.take().into_iter().map(|c| (c.key.name, c.old.is_some(), c.new.is_some())).collect();
        let expected = [("changed", true, true), ("gone", true, false), ("new", false, true)];
        assert_eq!(told, expected.map(|(name, old, new)| (name.to_owned(), old, new)));
        assert_eq!(cache.revision(), 9);
    }

    #[test]
    fn a_dropped_subscriber_is_forgotten() {
        let mut cache = cache();
        drop(cache.subscribe());
        cache.put(object("a", "x", 1, ""));
        assert!(cache.subscribers.is_empty());
    }
}
