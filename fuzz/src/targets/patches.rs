//! Patches of every type, of an object that has something for them to change.

use coracle_api::apply::{self, Writer};
use coracle_api::{schema, yaml};
use coracle_apiserver::fuzzing;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::check_storable;

const TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fn live() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default", "labels": {"a": "1"}, "finalizers": ["x/a", "x/b"]},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "1"}}, "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"a": "1"}}, "spec": {
                "tolerations": [{"key": "k", "operator": "Exists"}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}],
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "E", "value": "1"}], "args": ["a", "b"]}]}}},
    })
}

/// The first byte is the type of the patch.
pub(super) fn patch(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let message = schema::message(DEPLOYMENT).expect("Deployments have a schema");
    let Ok(mut patched) = fuzzing::patch(TYPES[usize::from(*first) % TYPES.len()], body, &live(), message) else {
        return;
    };
    check_storable(&patched);
    apply::update(&writer("fuzz"), message, Some(&live()), &mut patched);
    check_storable(&patched);
}

/// Two managers apply, one of them twice: the second time changes nothing.
pub(super) fn apply(bytes: &[u8]) {
    let message = schema::message(DEPLOYMENT).expect("Deployments have a schema");
    let Ok(document) = yaml::parse(bytes) else { return };
    let config = document.value;
    let mut before = live();
    apply::update(&writer("other"), message, None, &mut before);
    let Ok(once) = apply::apply(&writer("fuzz"), message, &before, &config, true) else { return };
    check_storable(&once.object);
    let twice = apply::apply(&writer("fuzz"), message, &once.object, &config, true).expect("it was applied before");
    assert!(!twice.changed, "to apply twice is to apply once");
}

fn writer(manager: &str) -> Writer<'_> {
    let now = Timestamp::UNIX_EPOCH;
    Writer { manager, api_version: "apps/v1", subresource: "", now, reset: None }
}
