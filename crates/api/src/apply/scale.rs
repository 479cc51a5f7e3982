//! managedFields across the scale subresource: who owns the replicas of the parent, told in terms of the Scale and back.

use serde_json::Value;

use super::managed::{Entry, Managed};
use crate::fieldset::{Element, Set};

const SCALE_VERSION: &str = "autoscaling/v1";

/// The place of the replicas in the parent.
#[derive(Debug, Clone, Copy)]
pub struct Scale<'a> {
    pub api_version: &'a str,
    /// For example `["spec", "replicas"]`.
    pub path: &'a [&'a str],
}

impl Scale<'_> {
    fn path(&self) -> Vec<Element> {
        self.path.iter().map(|name| Element::field(name)).collect()
    }

    /// The managedFields of the Scale, from those of its parent.
    pub fn to_scale(&self, parent: &[Value]) -> Vec<Value> {
        let mut managed = Managed::parse(parent).unwrap_or_default();
        let path = self.path();
        let owners = managed.entries.into_iter().filter(|(_, entry)| entry.set.has(&path));
        managed.entries = owners
            .map(|(id, entry)| {
                let entry = Entry { api_version: SCALE_VERSION.to_owned(), set: replicas(), ..entry };
                (id.in_version(SCALE_VERSION), entry)
            })
            .collect();
        managed.to_values()
    }

    /// The managedFields of the parent after the Scale was written.
    pub fn to_parent(&self, parent: &[Value], scale: &[Value]) -> Vec<Value> {
        let path = self.path();
        let mut managed = Managed::parse(parent).unwrap_or_default();
        let mut scale = Managed::parse(scale).unwrap_or_default();
        let replicas_path = [Element::field("spec"), Element::field("replicas")];
        for (id, entry) in &mut managed.entries {
            if entry.set.has(&path) && scale.entries.remove(&id.in_version(SCALE_VERSION)).is_none() {
                let mut lost = Set::new();
                lost.insert(path.iter().cloned());
                entry.set = entry.set.difference(&lost);
            }
        }
        managed.entries.retain(|_, entry| !entry.set.is_empty());
        for (id, entry) in scale.entries.into_iter().filter(|(_, entry)| entry.set.has(&replicas_path)) {
            let empty = Entry { api_version: self.api_version.to_owned(), set: Set::new(), time: None };
            let owner = managed.entries.entry(id.in_version(self.api_version)).or_insert(empty);
            owner.set.insert(path.iter().cloned());
            owner.time = entry.time;
        }
        managed.to_values()
    }
}

fn replicas() -> Set {
    Set::of_fields(&[&["spec", "replicas"]])
}
