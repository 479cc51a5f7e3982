//! Who owns which field: server-side apply, and the bookkeeping of managedFields for every other write.
//!
//! Everything here works on canonical objects (see `decode`) and never looks at a kind's name.

mod compare;
mod conflict;
mod last_applied;
mod managed;
mod merge;
mod remove;
mod scale;
mod typed;
mod validate;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{decode, fieldset::Set, schema::Message};
use compare::Comparison;
use managed::{Entry, Id, Managed};

pub use conflict::{Conflict, Conflicts};
pub use scale::Scale;

const APPLY: &str = "Apply";
const UPDATE: &str = "Update";

/// Who writes, as what, and when.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    pub manager: &'a str,
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// Fields that a write of this part resets and therefore never owns, such as `status` for the object itself.
    pub reset: Option<&'a Set>,
}

impl Writer<'_> {
    fn id(&self, operation: &'static str) -> Id {
        let manager = if self.manager.is_empty() { "unknown" } else { self.manager };
        Id::new(manager, operation, self.api_version, self.subresource)
    }
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// Status 409, with a cause per conflict.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// Status 400.
    #[error("{0}")]
    BadRequest(String),
    /// Status 500: the applied object does not fit the schema, or the stored managedFields cannot be read.
    #[error("{0}")]
    Schema(String),
}

/// The outcome of an apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The merged object with its managedFields, before defaulting.
    pub object: Value,
    /// Whether anything but managedFields differs from the live object.
    pub changed: bool,
}

/// Sets `metadata.managedFields` of a new object for a create, an update, or a patch of any kind but apply.
///
/// `live` is nothing for a create. An object that nobody tracked before stays untracked until its first apply.
pub fn update(writer: &Writer<'_>, message: &Message, live: Option<&Value>, new: &mut Value) {
    let asked = take_entries(new);
    let mut managed = match writer.subresource {
        "" => Managed::of_request(asked.as_ref(), live),
        _ => Managed::of_object(live),
    };
    if managed.is_empty() && live.is_some() {
        return;
    }
    let zero;
    let live = match live {
        Some(live) => live,
        None => {
            zero = decode::blank_message(message);
            &zero
        }
    };
    let comparison = compare::objects(live, new, message).exclude(writer.reset);
    track(&mut managed, writer, comparison);
    managed.write(new);
}

/// Hands the changed fields to the writer and takes them from everybody else.
fn track(managed: &mut Managed, writer: &Writer<'_>, comparison: Comparison) {
    managed.disown(None, &comparison);
    let mut owned = comparison.modified.union(&comparison.added);
    if let Some(reset) = writer.reset {
        owned = owned.recursive_difference(reset);
    }
    let owned = owned.difference(&managed::STRIPPED);
    if !owned.is_empty() {
        let id = writer.id(UPDATE);
        let set = match managed.entries.remove(&id) {
            Some(previous) => owned.union(&previous.set),
            None => owned,
        };
        let entry = Entry { api_version: writer.api_version.to_owned(), set, time: Some(writer.now) };
        managed.entries.insert(id, entry);
    }
    managed.cap();
}

/// Applies a configuration to a live object, which for a create is the empty object with its name.
pub fn apply(
    writer: &Writer<'_>,
    message: &Message,
    live: &Value,
    config: &Value,
    force: bool,
) -> Result<Applied, ApplyError> {
    check_config(writer, message, config)?;
    let mut managed =
        Managed::read(live).map_err(|error| ApplyError::Schema(format!("failed to decode managed fields: {error}")))?;
    if managed.is_empty() {
        // What was there before the first apply belongs to whoever wrote it.
        let before = Writer { manager: "before-first-apply", reset: None, ..*writer };
        let comparison = compare::objects(&decode::blank_message(message), live, message);
        track(&mut managed, &before, comparison);
    }
    let attempt = |force| merged(writer, message, live, config, managed.clone(), force);
    let (mut object, managed) = match attempt(force) {
        Err(conflicts) if writer.manager == last_applied::MANAGER => {
            let rest = last_applied::unexpected(conflicts, live, writer.api_version, message);
            if rest.is_empty() { attempt(true) } else { Err(rest) }
        }
        other => other,
    }
    .map_err(ApplyError::Conflicts)?;
    let changed = object.is_some();
    let mut object = object.take().unwrap_or_else(|| live.clone());
    take_entries(&mut object);
    if writer.manager == last_applied::MANAGER {
        last_applied::renew(&mut object, config);
    }
    managed.write(&mut object);
    Ok(Applied { object, changed })
}

/// The merged object, if it differs from the live one, and who owns it.
fn merged(
    writer: &Writer<'_>,
    message: &Message,
    live: &Value,
    config: &Value,
    mut managed: Managed,
    force: bool,
) -> Result<(Option<Value>, Managed), Conflicts> {
    let id = writer.id(APPLY);
    let mut set = typed::field_set(config, message);
    if let Some(reset) = writer.reset {
        set = set.recursive_difference(reset);
    }
    let last = managed.entries.remove(&id);
    let time = last.as_ref().and_then(|last| last.time);
    managed.entries.insert(id.clone(), Entry { api_version: writer.api_version.to_owned(), set, time });
    let mut object = merge::objects(live, config, message);
    if let Some(last) = last.filter(|last| !last.set.is_empty()) {
        object = remove::unowned(object, &last.set, &managed, message);
    }
    let comparison = compare::objects(live, &object, message).exclude(writer.reset);
    let conflicts = managed.conflicts(&id, &comparison);
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    managed.disown(Some(&id), &comparison);
    let changed = *live != object && !is_same(live, &object, message);
    if let Some(entry) = managed.entries.get_mut(&id) {
        entry.set = entry.set.difference(&managed::STRIPPED);
        if changed {
            entry.time = Some(writer.now);
        }
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    Ok((changed.then_some(object), managed))
}

/// Whether an object says the same as the live one, once it has canonical form: an empty list may say nothing.
fn is_same(live: &Value, object: &Value, message: &Message) -> bool {
    decode::value(object, message).is_ok_and(|canonical| canonical.value == *live)
}

fn check_config(writer: &Writer<'_>, message: &Message, config: &Value) -> Result<(), ApplyError> {
    let text = |path: &str| config.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    if api_version != writer.api_version {
        let expected = writer.api_version;
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {api_version}, expected: {expected}"
        )));
    }
    if config.pointer("/metadata/managedFields").is_some_and(|entries| !entries.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    validate::object(config, message).map_err(|error| {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let (namespace, name, kind) = (text("/metadata/namespace"), text("/metadata/name"), text("/kind"));
        ApplyError::Schema(format!(
            "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={kind}): {error}"
        ))
    })
}

fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.as_object_mut()
}

fn take_entries(object: &mut Value) -> Option<Value> {
    metadata(object)?.remove("managedFields")
}

#[cfg(test)]
mod tests;
