//! Patches of every type: what they make of an object, and how that becomes a write.

mod json;

use coracle_api::apply::{self, ApplyError};
use coracle_api::decode;
use coracle_api::go_json;
use coracle_api::kind::{Part, name_of};
use coracle_api::schema::Message;
use coracle_api::status::Status;
use coracle_api::strategic::{self, PatchError};
use coracle_api::validation::FieldError;
use coracle_api::yaml;
use serde_json::{Value, json};

use super::{Change, Ownership, Write, Written, create, guaranteed_update, meta};
use crate::body;
use crate::options::FieldValidation;

/// The types of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchType {
    /// The type that a content type names.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// A patch that could be read.
#[derive(Debug)]
pub(crate) enum Patch {
    Json(Vec<json::Operation>),
    Merge { patch: Value, duplicates: Vec<String> },
    Strategic { patch: Value, duplicates: Vec<String> },
    Apply { config: yaml::Document },
}

impl Patch {
    /// Reads the body of a patch.
    pub(crate) fn parse(patch_type: PatchType, body: &[u8]) -> Result<Self, Status> {
        let undecodable = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
        let map = |body: &[u8], undecodable: &dyn Fn(&dyn std::fmt::Display) -> Status| {
            let decoded = decode::untyped(body).map_err(|error| undecodable(&error))?;
            match decoded.value {
                Value::Object(_) | Value::Null => Ok((decoded.value, decoded.strict)),
                other => {
                    let found = go_word(&other);
                    let why = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
                    Err(undecodable(&why))
                }
            }
        };
        match patch_type {
            PatchType::Json => {
                let decoded = decode::untyped(body).map_err(|error| undecodable(&error))?;
                json::parse(&decoded.value).map(Self::Json)
            }
            PatchType::Merge => map(body, &undecodable).map(|(patch, duplicates)| Self::Merge { patch, duplicates }),
            PatchType::Strategic => {
                let bare = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
                map(body, &bare).map(|(patch, duplicates)| Self::Strategic { patch, duplicates })
            }
            PatchType::Apply => {
                let config =
                    yaml::parse(body).map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
                Ok(Self::Apply { config })
            }
        }
    }

    /// What becomes of `object`, before it is checked against its schema.
    fn apply_to(&self, object: &Value, message: &Message) -> Result<Value, Status> {
        let changed = |change: &dyn Fn(&mut Value) -> Result<(), Status>| {
            let mut patched = object.clone();
            change(&mut patched).map(|()| patched)
        };
        match self {
            Self::Json(operations) => changed(&|patched| json::apply(patched, operations)),
            Self::Merge { patch, .. } => changed(&|patched| {
                merge(patched, patch);
                Ok(())
            }),
            Self::Strategic { patch: Value::Null, .. } | Self::Apply { .. } => Ok(object.clone()),
            Self::Strategic { patch, .. } => {
                strategic::merge(object, patch, message).map_err(|error| strategic_refusal(&error))
            }
        }
    }

    /// What an error shows: the patched object, or a strategic patch itself, in upstream's forms.
    fn shown(&self, patched: &Value, message: &Message) -> String {
        match self {
            Self::Json(operations) => go_json::patched(patched, message, &json::touched(operations)),
            Self::Merge { patch, .. } => go_json::patched(patched, message, patch),
            Self::Strategic { patch, .. } => go_json::plain(patch),
            Self::Apply { .. } => go_json::object(patched, message),
        }
    }

    fn duplicates(&self) -> &[String] {
        match self {
            Self::Merge { duplicates, .. } | Self::Strategic { duplicates, .. } => duplicates,
            Self::Json(_) => &[],
            Self::Apply { config } => &config.duplicates,
        }
    }

    /// What becomes of `object`, checked against its schema; and what the client is warned of.
    pub(crate) fn result(
        &self,
        object: &Value,
        message: &Message,
        strictness: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let patched = self.apply_to(object, message)?;
        let refuse = |why: &str| self.refused(&patched, message, why);
        if let Self::Strategic { .. } = self {
            decode::check_unstructured(&patched, message).map_err(|error| refuse(&error.to_string()))?;
        }
        let decoded = decode::value(&patched, message).map_err(|error| refuse(&error.to_string()))?;
        let strict: Vec<String> = self.duplicates().iter().chain(&decoded.strict).cloned().collect();
        match strictness {
            FieldValidation::Strict if !strict.is_empty() => {
                Err(refuse(&format!("strict decoding error: {}", strict.join(", "))))
            }
            FieldValidation::Strict | FieldValidation::Ignore => Ok((decoded.value, Vec::new())),
            FieldValidation::Warn => Ok((decoded.value, strict)),
        }
    }

    /// As [`Patch::result`], of a write that leaves the object's spec as it is: then that is not merged, nor checked.
    fn result_beside_spec(
        &self,
        object: &Value,
        message: &Message,
        strictness: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let Self::Strategic { patch: Value::Object(patch), .. } = self else {
            return self.result(object, message, strictness);
        };
        let is_beside = patch.keys().all(|name| matches!(name.as_str(), "kind" | "apiVersion" | "metadata" | "status"));
        let (true, Some(spec), Some(members)) = (is_beside, object.get("spec"), object.as_object()) else {
            return self.result(object, message, strictness);
        };
        let beside = members.iter().filter(|(name, _)| *name != "spec");
        let beside = Value::Object(beside.map(|(name, value)| (name.clone(), value.clone())).collect());
        let (mut result, warnings) = self.result(&beside, message, strictness)?;
        if let Some(members) = result.as_object_mut() {
            members.insert("spec".to_owned(), spec.clone());
        }
        Ok((result, warnings))
    }

    fn refused(&self, patched: &Value, message: &Message, why: &str) -> Status {
        let text = Value::String(self.shown(patched, message));
        Status::invalid(no_kind(), "", &[FieldError::invalid("patch", &text, why)])
    }
}

/// Patches an object, or applies to one that may not exist yet.
pub(crate) async fn patch(write: &Write<'_>, patch: &Patch) -> Result<Written, Status> {
    match patch {
        Patch::Apply { config } => apply_config(write, config).await,
        Patch::Json(_) | Patch::Merge { .. } | Patch::Strategic { .. } => {
            guaranteed_update(write, |old| {
                let (schema, strictness) = (write.resource.schema, write.options.field_validation);
                let (object, warnings) = if write.part == Part::Status {
                    patch.result_beside_spec(old, schema, strictness)?
                } else {
                    patch.result(old, schema, strictness)?
                };
                check_identity(write, patch, &object)?;
                Ok(Change { object, ownership: Ownership::Derived, warnings })
            })
            .await
        }
    }
}

/// A patch may not turn an object into another one.
fn check_identity(write: &Write<'_>, patch: &Patch, object: &Value) -> Result<(), Status> {
    let kind = &write.resource.kind;
    if let Some(why) = body::foreign(object, &write.resource.api_version, &kind.group, &kind.kind) {
        return Err(patch.refused(object, write.resource.schema, &why));
    }
    check_place(write, object)
}

async fn apply_config(write: &Write<'_>, config: &yaml::Document) -> Result<Written, Status> {
    check_config(write, &config.value)?;
    let warnings = match write.options.field_validation {
        FieldValidation::Warn => config.duplicates.clone(),
        FieldValidation::Strict | FieldValidation::Ignore => Vec::new(),
    };
    loop {
        let exists = write.state.stored(write.resource, write.namespace, write.name).await?.is_some();
        let outcome = if exists {
            guaranteed_update(write, |old| {
                let object = merge_config(write, old, config)?;
                Ok(Change { object, ownership: Ownership::Given, warnings: warnings.clone() })
            })
            .await
        } else if write.part == Part::Object {
            create_by_apply(write, config, &warnings).await
        } else {
            return Err(write.not_found());
        };
        match outcome {
            // Created or deleted by somebody else meanwhile.
            Err(status) if !exists && status.reason == "AlreadyExists" => {}
            Err(status) if exists && status.code == 404 => {}
            other => return other,
        }
    }
}

fn check_config(write: &Write<'_>, config: &Value) -> Result<(), Status> {
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    if text("kind") != write.resource.kind.kind || text("apiVersion") != write.resource.api_version {
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
        let why = format!("invalid object type: {group}/{version}, Kind={}", text("kind"));
        return Err(Status::bad_request(why));
    }
    check_place(write, config)
}

/// The object is the one that the URL names.
fn check_place(write: &Write<'_>, config: &Value) -> Result<(), Status> {
    let (name, on_url) = (name_of(config), write.name);
    if name.is_empty() {
        let why = format!("the name of the object ({on_url} based on URL) was undeterminable: name must be provided");
        return Err(Status::bad_request(why));
    }
    if name != on_url {
        let why = format!("the name of the object ({name}) does not match the name on the URL ({on_url})");
        return Err(Status::bad_request(why));
    }
    let namespace = meta::text(config, "namespace");
    if write.resource.kind.namespaced && !namespace.is_empty() && namespace != write.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    Ok(())
}

fn merge_config(write: &Write<'_>, live: &Value, document: &yaml::Document) -> Result<Value, Status> {
    let config = &document.value;
    let applied = apply::apply(&write.writer(), write.resource.schema, live, config, write.options.force);
    // What was applied may be written in any form; what is stored is not.
    let mut object = decode::normalize(applied.map_err(apply_refusal)?.object, write.resource.schema);
    if let (FieldValidation::Strict, Some(why)) = (write.options.field_validation, document.duplicates_error()) {
        return Err(Status::bad_request(format!("error strict decoding YAML: error converting YAML to JSON: {why}")));
    }
    // What the configuration says of these is checked, never merged.
    for field in ["resourceVersion", "uid"] {
        if let Some(value) = config["metadata"].get(field) {
            meta::metadata(&mut object).insert(field.to_owned(), value.clone());
        }
    }
    Ok(object)
}

async fn create_by_apply(write: &Write<'_>, config: &yaml::Document, warnings: &[String]) -> Result<Written, Status> {
    let uid = meta::text(&config.value, "uid");
    if !uid.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(Status::conflict(write.resource.kind.resource(), write.name, &why));
    }
    let mut empty = json!({
        "kind": write.resource.kind.kind, "apiVersion": write.resource.api_version, "metadata": {"name": write.name},
    });
    if write.resource.kind.namespaced {
        empty["metadata"]["namespace"] = json!(write.namespace);
    }
    let mut object = merge_config(write, &empty, config)?;
    meta::remove(&mut object, "resourceVersion");
    let mut written = create(write, object, Ownership::Given).await?;
    written.warnings.extend(warnings.iter().cloned());
    Ok(written)
}

/// What a client is told whose apply is refused.
pub(crate) fn apply_refusal(error: ApplyError) -> Status {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let message = conflicts.to_string();
            let causes: Vec<_> = conflicts.0.iter().map(|conflict| (conflict.message(), conflict.field())).collect();
            Status::apply_conflict(message, causes)
        }
        ApplyError::BadRequest(why) => Status::bad_request(why),
        ApplyError::Schema(why) => Status::unknown(why),
    }
}

fn strategic_refusal(error: &PatchError) -> Status {
    match error {
        PatchError::PrimitiveList | PatchError::RetainKeys | PatchError::ElementOrder => {
            Status::bad_request(error.to_string())
        }
        _ => Status::unknown(error.to_string()),
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().expect("it was just made an object");
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn go_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Upstream does not say of which kind a patched object is that does not fit.
fn no_kind() -> coracle_api::kind::Resource<'static> {
    coracle_api::kind::Resource { group: "", name: "" }
}
