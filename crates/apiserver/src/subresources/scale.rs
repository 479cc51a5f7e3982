//! Scale: how many of something there should be, without knowing what it is.

use std::sync::Arc;

use coracle_api::apply::{self, Scale as Owners, Writer};
use coracle_api::decode;
use coracle_api::kind::{Part, Resource as Name, Subresource, name_of};
use coracle_api::schema::Message;
use coracle_api::selector::{self, Selector};
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::handler::{Call, Reply};
use crate::options::{Write as WriteKind, WriteOptions};
use crate::registry::{Change, Ownership, Patch, Written, apply_refusal, guaranteed_update};
use crate::resources::Resource;
use crate::state::State;
use crate::verbs::{place, read_patch, writing};

const KIND: Name<'static> = Name { group: "autoscaling", name: "Scale" };

/// Answers a request to a scale.
pub(super) async fn serve(
    state: &Arc<State>,
    resource: &Resource,
    subresource: &Subresource,
    call: &Call,
) -> Result<Reply, Status> {
    match call.info.verb {
        "get" => {
            let object = state.existing(resource, place(resource, call), &call.info.name).await?;
            Ok(Answer::json(200, &of_object(&object)).into())
        }
        "update" => {
            let (scale, options, warnings) = super::read(state, subresource, WriteKind::Update, call).await?;
            check_name(&scale, &call.info.name)?;
            let written = write(state, resource, call, &options, |_| {
                Ok(Scaled { scale: scale.clone(), is_owned: false, warnings: Vec::new() })
            })
            .await?;
            Ok(answer(resource, &written).with_warnings(warnings).into())
        }
        "patch" => {
            let message = super::message(&subresource.group, &subresource.version, &subresource.kind)?;
            let (patch, options) = read_patch(state, call).await?;
            let written = write(state, resource, call, &options, |present| patched(present, &patch, &options, message));
            let written = written.await?;
            Ok(answer(resource, &written).with_warnings(written.warnings.clone()).into())
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn answer(resource: &Resource, written: &Written) -> Answer {
    Answer::json(200, &of_object(&resource.decode_at(&written.stored, written.revision)))
}

fn check_name(scale: &Value, name: &str) -> Result<(), Status> {
    let given = name_of(scale);
    if given.is_empty() || given == name {
        return Ok(());
    }
    let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
    Err(Status::bad_request(why))
}

/// Writes the object whose scale `change` makes of the present one.
async fn write(
    state: &Arc<State>,
    resource: &Resource,
    call: &Call,
    options: &WriteOptions,
    change: impl Fn(&Value) -> Result<Scaled, Status>,
) -> Result<Written, Status> {
    let write = writing(state, resource, call, options, Part::Object);
    let owners = Owners { api_version: &resource.api_version, path: &["spec", "replicas"] };
    guaranteed_update(&write, |object| {
        let mut present = of_object(object);
        let parent = managed_fields(object);
        present["metadata"]["managedFields"] = Value::Array(owners.to_scale(&parent));
        let Scaled { mut scale, is_owned, warnings } = change(&present)?;
        if !is_owned {
            let message = super::message("autoscaling", "v1", "Scale")?;
            apply::update(&writer(options), message, Some(&present), &mut scale);
        }
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let why = "must be greater than or equal to 0";
            let error = FieldError::invalid("spec.replicas", &json!(replicas), why);
            return Err(Status::invalid(KIND, write.name, &[error]));
        }
        let mut scaled = object.clone();
        scaled["spec"]["replicas"] = json!(replicas);
        scaled["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
        let entries = owners.to_parent(&parent, &managed_fields(&scale));
        scaled["metadata"]["managedFields"] = Value::Array(entries);
        Ok(Change { object: scaled, ownership: Ownership::Given, warnings })
    })
    .await
}

/// What a write makes of a scale.
struct Scaled {
    scale: Value,
    /// Its managedFields are up to date.
    is_owned: bool,
    warnings: Vec<String>,
}

fn patched(present: &Value, patch: &Patch, options: &WriteOptions, message: &Message) -> Result<Scaled, Status> {
    match patch {
        Patch::Apply { config } => {
            let applied = apply::apply(&writer(options), message, present, &config.value, options.force);
            let scale = decode::normalize(applied.map_err(apply_refusal)?.object, message);
            Ok(Scaled { scale, is_owned: true, warnings: Vec::new() })
        }
        Patch::Json(_) | Patch::Merge { .. } | Patch::Strategic { .. } => {
            let (scale, warnings) = patch.result(present, message, options.field_validation)?;
            Ok(Scaled { scale, is_owned: false, warnings })
        }
    }
}

fn writer(options: &WriteOptions) -> Writer<'_> {
    Writer {
        manager: &options.manager,
        api_version: "autoscaling/v1",
        subresource: "scale",
        now: Timestamp::now(),
        reset: None,
    }
}

fn managed_fields(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default()
}

/// The scale of an object.
fn of_object(object: &Value) -> Value {
    let mut metadata = serde_json::Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut scale =
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {}, "status": {}});
    let count = |value: &Value| value.as_i64().unwrap_or(0);
    if count(&object["spec"]["replicas"]) != 0 {
        scale["spec"]["replicas"] = object["spec"]["replicas"].clone();
    }
    scale["status"]["replicas"] = json!(count(&object["status"]["replicas"]));
    let selector = selector(object);
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// The selector in the form that clients put into a query.
fn selector(object: &Value) -> String {
    let labels = &object["spec"]["selector"];
    let parsed = match labels.get("matchLabels").is_some() || labels.get("matchExpressions").is_some() {
        true => selector::from_label_selector(labels).ok(),
        false => Some(Selector::from_labels(labels)),
    };
    parsed.map(|selector| selector.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_says_how_many_there_are_and_should_be() {
        let object = json!({"metadata": {"name": "d", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}}, "status": {"replicas": 2}});
        assert_eq!(
            of_object(&object),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {"name": "d", "namespace": "n", "uid": "u"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "app=d"}})
        );
        let none = json!({"metadata": {}, "spec": {"replicas": 0, "selector": {"app": "rc"}}});
        assert_eq!(of_object(&none)["spec"], json!({}));
        assert_eq!(of_object(&none)["status"]["selector"], "app=rc");
    }
}
