//! Runs the golden stories of `testdata/apply`, and what must hold for any of them.

use std::{fs, path::Path};

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{decode, schema::message};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    about: String,
    #[serde(rename = "type")]
    ty: String,
    /// The API version of every step.
    version: String,
    steps: Vec<Step>,
}

/// A write by a manager, and what is true after it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    apply: Option<Value>,
    update: Option<Value>,
    by: String,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    subresource: String,
    /// Fields that the write resets.
    #[serde(default)]
    reset: Vec<String>,
    error: Option<String>,
    /// The object without managedFields, if it is to be looked at.
    object: Option<Value>,
    /// The owners: `manager Operation [subresource]` to FieldsV1.
    owners: Option<Value>,
}

struct World {
    ty: &'static Message,
    version: String,
    live: Option<Value>,
    now: Timestamp,
}

impl World {
    fn new(ty: &str, version: &str) -> World {
        World { ty: message(ty).unwrap(), version: version.to_owned(), live: None, now: Timestamp::UNIX_EPOCH }
    }

    fn writer<'a>(&'a self, manager: &'a str, subresource: &'a str, reset: Option<&'a Set>) -> Writer<'a> {
        Writer { manager, api_version: &self.version, subresource, now: self.now, reset }
    }

    fn run(&mut self, step: &Step) -> Result<(), ApplyError> {
        self.now += jiff::SignedDuration::from_secs(10);
        let reset: Vec<&str> = step.reset.iter().map(String::as_str).collect();
        let reset = Set::of_fields(&[&reset]);
        let writer = self.writer(&step.by, &step.subresource, (!step.reset.is_empty()).then_some(&reset));
        let object = match (&step.apply, &step.update) {
            (Some(config), _) => {
                let empty = decode::normalize(json!({"metadata": {"name": "x"}}), self.ty);
                apply(&writer, self.ty, self.live.as_ref().unwrap_or(&empty), config, step.force)?.object
            }
            (None, Some(object)) => {
                let mut object = decode::normalize(object.clone(), self.ty);
                update(&writer, self.ty, self.live.as_ref(), &mut object);
                object
            }
            (None, None) => panic!("a step writes"),
        };
        self.live = Some(decode::value(&object, self.ty).unwrap().value);
        Ok(())
    }

    fn owners(&self) -> Value {
        let entries = self.live.as_ref().and_then(|live| live.pointer("/metadata/managedFields")?.as_array().cloned());
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let owners = entries.unwrap_or_default().into_iter().map(|entry| {
            let who =
                format!("{} {} {}", text(&entry, "manager"), text(&entry, "operation"), text(&entry, "subresource"));
            (who.trim_end().to_owned(), entry["fieldsV1"].clone())
        });
        owners.collect::<Map<_, _>>().into()
    }

    fn bare(&self) -> Value {
        let mut object = self.live.clone().unwrap();
        take_entries(&mut object);
        object
    }
}

#[test]
fn golden_stories_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/apply");
    let mut n_steps = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for story in serde_yaml::from_str::<Vec<Story>>(&text).unwrap() {
            let mut world = World::new(&story.ty, &story.version);
            for (idx, step) in story.steps.iter().enumerate() {
                let about = format!("{}, step {idx}", story.about);
                match (world.run(step), &step.error) {
                    (Err(error), Some(expected)) => assert_eq!(error.to_string(), *expected, "{about}"),
                    (outcome, None) => outcome.unwrap_or_else(|error| panic!("{about}: {error}")),
                    (Ok(()), Some(expected)) => panic!("{about}: no {expected}"),
                }
                if let Some(object) = &step.object {
                    assert_eq!(world.bare(), *object, "{about}");
                }
                if let Some(owners) = &step.owners {
                    assert_eq!(world.owners(), *owners, "{about}");
                }
                n_steps += 1;
            }
        }
    }
    assert!(n_steps >= 30, "the stories were found");
}

fn config_map(data: &[(&str, &str)]) -> Value {
    let data: Map<String, Value> = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

fn step(by: &str, apply: Value, force: bool) -> Step {
    Step {
        apply: Some(apply),
        update: None,
        by: by.to_owned(),
        force,
        subresource: String::new(),
        reset: Vec::new(),
        error: None,
        object: None,
        owners: None,
    }
}

#[test]
fn an_apply_that_changes_nothing_keeps_the_time() {
    let mut world = World::new("io.k8s.api.core.v1.ConfigMap", "v1");
    let first = step("one", config_map(&[("a", "1")]), false);
    world.run(&first).unwrap();
    let before = world.live.clone();
    world.run(&first).unwrap();
    assert_eq!(world.live, before);
}

#[test]
fn old_updaters_are_merged_into_one() {
    let mut world = World::new("io.k8s.api.core.v1.ConfigMap", "v1");
    for idx in 0..15 {
        let data: Vec<(String, String)> = (0..=idx).map(|key| (format!("k{key}"), "v".to_owned())).collect();
        let data: Vec<(&str, &str)> = data.iter().map(|(key, value)| (&**key, &**value)).collect();
        let write =
            Step { apply: None, update: Some(config_map(&data)), ..step(&format!("m{idx:02}"), Value::Null, false) };
        world.run(&write).unwrap();
    }
    let owners = world.owners();
    assert_eq!(owners.as_object().unwrap().len(), 10);
    assert_eq!(
        owners["ancient-changes Update"]["f:data"],
        json!({".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}, "f:k4": {}, "f:k5": {}})
    );
}

#[test]
fn an_empty_list_of_owners_resets_them() {
    let mut world = World::new("io.k8s.api.core.v1.ConfigMap", "v1");
    world.run(&step("one", config_map(&[("a", "1")]), false)).unwrap();
    let mut object = world.bare();
    object["metadata"]["managedFields"] = json!([]);
    update(&world.writer("two", "", None), world.ty, world.live.as_ref(), &mut object);
    assert_eq!(object["metadata"].get("managedFields"), None);
}

#[test]
fn the_replicas_of_a_scale_belong_to_whoever_owns_the_parent_s() {
    let parent = json!([{"manager": "one", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}}]);
    let parent = parent.as_array().unwrap();
    let scale = Scale { api_version: "apps/v1", path: &["spec", "replicas"] };
    let seen = scale.to_scale(parent);
    assert_eq!(seen[0]["apiVersion"], "autoscaling/v1");
    assert_eq!(seen[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(scale.to_parent(parent, &seen), *parent);
    let taken = json!([{"manager": "scaler", "operation": "Update", "apiVersion": "autoscaling/v1", "subresource": "scale",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    let after = scale.to_parent(parent, taken.as_array().unwrap());
    assert_eq!(after[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(after[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!((&after[1]["manager"], &after[1]["apiVersion"]), (&json!("scaler"), &json!("apps/v1")));
}

fn any_data() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", "[0-2]", 0..4).prop_map(|data| {
        let data: Vec<(&str, &str)> = data.iter().map(|(key, value)| (&**key, &**value)).collect();
        config_map(&data)
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    let container = ("[a-c]", "[0-2]", prop::collection::btree_map("[A-C]", "[0-2]", 0..3));
    prop::collection::vec(container, 1..3).prop_map(|containers| {
        let mut names = std::collections::BTreeSet::new();
        let containers: Vec<Value> = containers
            .into_iter()
            .filter(|(name, ..)| names.insert(name.clone()))
            .map(|(name, image, env)| {
                let env: Vec<Value> =
                    env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                json!({"name": name, "image": image, "env": env})
            })
            .collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": containers}})
    })
}

/// Every field that an object has, as paths.
fn fields(object: &Value, ty: &Message) -> Vec<String> {
    typed::field_set(object, ty).paths().iter().map(ToString::to_string).collect()
}

fn apply_in_turn(ty: &str, configs: &[Value]) -> World {
    let mut world = World::new(ty, "v1");
    for (idx, config) in configs.iter().enumerate() {
        world.run(&step(["one", "two"][idx % 2], config.clone(), true)).unwrap();
    }
    world
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(pods in prop::collection::vec(any_pod(), 1..5)) {
        let mut world = apply_in_turn("io.k8s.api.core.v1.Pod", &pods);
        let last = step(["one", "two"][(pods.len() - 1) % 2], pods.last().unwrap().clone(), false);
        let before = world.live.clone();
        world.run(&last).unwrap();
        prop_assert_eq!(world.live, before);
    }

    #[test]
    fn what_was_applied_is_there(pods in prop::collection::vec(any_pod(), 1..5)) {
        let world = apply_in_turn("io.k8s.api.core.v1.Pod", &pods);
        let there = fields(world.live.as_ref().unwrap(), world.ty);
        let config = decode::normalize(pods.last().unwrap().clone(), world.ty);
        for field in fields(&config, world.ty) {
            prop_assert!(there.contains(&field), "{}", field);
        }
    }

    #[test]
    fn a_manager_removes_only_what_it_alone_owns(mine in any_data(), theirs in any_data(), then in any_data()) {
        let world = apply_in_turn("io.k8s.api.core.v1.ConfigMap", &[mine.clone(), theirs.clone(), then.clone()]);
        let data = world.live.unwrap()["data"].as_object().cloned().unwrap_or_default();
        let has = |config: &Value, key: &str| config["data"].as_object().is_some_and(|data| data.contains_key(key));
        for key in ["a", "b", "c", "d"] {
            prop_assert_eq!(data.contains_key(key), has(&then, key) || has(&theirs, key), "{}", key);
        }
    }

    #[test]
    fn every_owned_field_exists(pods in prop::collection::vec(any_pod(), 1..6)) {
        let world = apply_in_turn("io.k8s.api.core.v1.Pod", &pods);
        let live = world.live.unwrap();
        let there = fields(&live, world.ty);
        for entry in Managed::read(&live).unwrap().entries.values() {
            for path in entry.set.paths() {
                let path = path.to_string();
                // An empty list is nothing that a canonical object has.
                prop_assert!(there.contains(&path) || path.ends_with(".env") || path.ends_with(".containers"), "{}", path);
            }
        }
    }
}
