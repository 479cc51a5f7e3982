//! The managedFields of an object: read, written, sorted, and kept from growing without bound.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    APPLY, UPDATE,
    compare::Comparison,
    conflict::{Conflict, Conflicts},
};
use crate::fieldset::Set;

/// Fields that nobody owns.
pub(super) static STRIPPED: LazyLock<Set> = LazyLock::new(|| {
    Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// More managers that update than these are merged into one, the oldest first.
const UPDATERS_MAX: usize = 10;

const OLD_UPDATERS: &str = "ancient-changes";

/// What tells two managers apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) manager: String,
    pub(super) operation: &'static str,
    /// Empty for managers that apply: they keep their identity across versions.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Id {
    pub(super) fn new(manager: &str, operation: &'static str, api_version: &str, subresource: &str) -> Id {
        let api_version = if operation == APPLY { "" } else { api_version };
        Id {
            manager: manager.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The same manager writing in another version.
    pub(super) fn in_version(&self, api_version: &str) -> Id {
        Id::new(&self.manager, self.operation, api_version, &self.subresource)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) api_version: String,
    pub(super) set: Set,
    pub(super) time: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Managed {
    pub(super) entries: BTreeMap<Id, Entry>,
}

impl Managed {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries of an object; none when they cannot be read.
    pub(super) fn of_object(object: Option<&Value>) -> Managed {
        object.and_then(|object| Managed::read(object).ok()).unwrap_or_default()
    }

    /// The entries that a request asks for, or else the live ones. An empty list, or one empty entry, resets them.
    pub(super) fn of_request(asked: Option<&Value>, live: Option<&Value>) -> Managed {
        match asked.and_then(Value::as_array) {
            Some(entries) if entries.is_empty() || matches!(&entries[..], [Value::Object(only)] if only.is_empty()) => {
                Managed::default()
            }
            Some(entries) => match Managed::parse(entries) {
                Ok(managed) if !managed.is_empty() => managed,
                Ok(_) | Err(_) => Managed::of_object(live),
            },
            None => Managed::of_object(live),
        }
    }

    pub(super) fn read(object: &Value) -> Result<Managed, String> {
        match object.pointer("/metadata/managedFields").and_then(Value::as_array) {
            Some(entries) => Managed::parse(entries),
            None => Ok(Managed::default()),
        }
    }

    pub(super) fn parse(entries: &[Value]) -> Result<Managed, String> {
        entries
            .iter()
            .enumerate()
            .map(|(idx, entry)| parse_entry(idx, entry))
            .collect::<Result<_, _>>()
            .map(|entries| Managed { entries })
    }

    pub(super) fn to_values(&self) -> Vec<Value> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        // The map's order breaks ties: manager, then version, then subresource.
        entries.sort_by_key(|(id, entry)| (id.operation, entry.time.map_or(0, Timestamp::as_second)));
        entries.into_iter().map(|(id, entry)| print_entry(id, entry)).collect()
    }

    /// Makes these the entries of an object.
    pub(super) fn write(&self, object: &mut Value) {
        let Value::Object(object) = object else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(metadata) = metadata else { return };
        if self.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(self.to_values()));
        }
    }

    /// The fields that others own and that a write would change.
    pub(super) fn conflicts(&self, writer: &Id, comparison: &Comparison) -> Conflicts {
        let changed = comparison.modified.union(&comparison.added);
        let mut conflicts = Vec::new();
        for (id, entry) in self.entries.iter().filter(|(id, _)| *id != writer) {
            let fields = entry.set.intersection(&changed);
            conflicts.extend(fields.paths().into_iter().map(|path| Conflict {
                manager: id.manager.clone(),
                subresource: id.subresource.clone(),
                using: (id.operation == UPDATE).then(|| id.api_version.clone()),
                path,
            }));
        }
        Conflicts(conflicts)
    }

    /// Takes what changed or went away from everybody but the writer.
    pub(super) fn disown(&mut self, writer: Option<&Id>, comparison: &Comparison) {
        if self.is_empty() || comparison.is_same() {
            return;
        }
        let mut gone = comparison.modified.union(&comparison.added);
        gone.extend(&comparison.removed);
        for (id, entry) in &mut self.entries {
            if Some(id) != writer {
                entry.set = entry.set.difference(&gone);
            }
        }
        self.entries.retain(|_, entry| !entry.set.is_empty());
    }

    /// Merges the oldest updating managers of a version into one when there are too many.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Id> = self.entries.keys().filter(|id| id.operation == UPDATE).cloned().collect();
        let mut n_updaters = updaters.len();
        if n_updaters <= UPDATERS_MAX {
            return;
        }
        updaters.sort_by_key(|id| self.entries[id].time.map_or(0, Timestamp::as_second));
        let mut first_of_version = BTreeMap::new();
        for id in updaters {
            if n_updaters <= UPDATERS_MAX {
                break;
            }
            let version = self.entries[&id].api_version.clone();
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = Id::new(OLD_UPDATERS, UPDATE, &version, "");
            if !self.entries.contains_key(&bucket)
                && let Some(entry) = self.entries.remove(first)
            {
                self.entries.insert(bucket.clone(), entry);
            }
            if let Some(merged) = self.entries.remove(&id)
                && let Some(bucket) = self.entries.get_mut(&bucket)
            {
                bucket.set.extend(&merged.set);
                bucket.time = merged.time;
            }
            n_updaters -= 1;
        }
    }
}

fn parse_entry(idx: usize, entry: &Value) -> Result<(Id, Entry), String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("operation") {
        APPLY => APPLY,
        UPDATE => UPDATE,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {idx}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {idx}")),
    }
    let set = match entry.get("fieldsV1") {
        Some(fields) => Set::from_fields_v1(fields).map_err(|error| format!("error decoding set: {error}"))?,
        None => Set::new(),
    };
    let id = Id::new(text("manager"), operation, api_version, text("subresource"));
    Ok((id, Entry { api_version: api_version.to_owned(), set, time: text("time").parse().ok() }))
}

fn print_entry(id: &Id, entry: &Entry) -> Value {
    let mut value = json!({
        "manager": id.manager,
        "operation": id.operation,
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.set.to_fields_v1(),
    });
    if let Some(time) = entry.time {
        value["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    if !id.subresource.is_empty() {
        value["subresource"] = id.subresource.clone().into();
    }
    value
}
