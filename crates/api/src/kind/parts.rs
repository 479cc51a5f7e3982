//! The parts of an object that have an endpoint of their own, and what a write to one of them leaves alone.

use serde_json::Value;

use super::Kind;

/// Which endpoint writes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object's own.
    Object,
    Status,
    /// A namespace's finalizers.
    Finalize,
    EphemeralContainers,
    Resize,
    /// What is decided about a certificate request.
    Approval,
}

impl Part {
    /// The part that a subresource writes, when it writes the object itself.
    pub fn of_subresource(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Object),
            "status" => Some(Self::Status),
            "finalize" => Some(Self::Finalize),
            "ephemeralcontainers" => Some(Self::EphemeralContainers),
            "resize" => Some(Self::Resize),
            "approval" => Some(Self::Approval),
            _ => None,
        }
    }
}

/// An endpoint below an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    pub name: String,
    /// What is sent to it and comes back: the kind itself, or another one such as `Scale`.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub verbs: Vec<String>,
}

/// Takes from `old` what a write to `part` may not touch.
pub(super) fn isolate(kind: &Kind, new: &mut Value, old: &Value, part: Part) {
    match part {
        Part::Object if kind.isolates_status() => keep(new, old, &["status"]),
        Part::Object => {}
        Part::Status => keep_all_but(new, old, "status"),
        // The kind itself knows what of its status is the decision.
        Part::Approval => {}
        Part::Finalize | Part::EphemeralContainers | Part::Resize => keep(new, old, &["status"]),
    }
}

pub(crate) fn keep(new: &mut Value, old: &Value, fields: &[&str]) {
    let Some(new) = new.as_object_mut() else { return };
    for field in fields {
        match old.get(field) {
            Some(value) => new.insert((*field).to_owned(), value.clone()),
            None => new.remove(*field),
        };
    }
}

/// A write to `part` may change that part and metadata only.
fn keep_all_but(new: &mut Value, old: &Value, part: &str) {
    let Some(fields) = new.as_object_mut() else { return };
    let kept = ["apiVersion", "kind", "metadata", part];
    fields.retain(|name, _| kept.contains(&name.as_str()));
    for (name, value) in old.as_object().into_iter().flatten() {
        if !kept.contains(&name.as_str()) {
            fields.insert(name.clone(), value.clone());
        }
    }
}
