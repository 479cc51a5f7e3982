//! StatefulSets, DaemonSets, ReplicationControllers and disruption budgets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::apps::{containers, selector};
use super::{Columns, age, labels, name, number};

pub(crate) fn stateful_set() -> Columns {
    Columns::of("StatefulSet", |object, now| {
        let (spec, status) = (&object["spec"], &object["status"]);
        let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
        let (names, images) = containers(&spec["template"]);
        vec![name(object), json!(ready), age(object, now), names, images]
    })
}

pub(crate) fn daemon_set() -> Columns {
    Columns::of("DaemonSet", daemon_set_cells)
}

fn daemon_set_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(&spec["template"]);
    let count = |field: &str| json!(number(&status[field]));
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels(&spec["template"]["spec"]["nodeSelector"]),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

pub(crate) fn replication_controller() -> Columns {
    Columns::of("ReplicationController", |object, now| {
        let (spec, status) = (&object["spec"], &object["status"]);
        let (names, images) = containers(&spec["template"]);
        vec![
            name(object),
            json!(number(&spec["replicas"])),
            json!(number(&status["replicas"])),
            json!(number(&status["readyReplicas"])),
            age(object, now),
            names,
            images,
            labels(&spec["selector"]),
        ]
    })
}

pub(crate) fn disruption_budget() -> Columns {
    Columns::of("PodDisruptionBudget", |object, now| {
        let spec = &object["spec"];
        vec![
            name(object),
            bound(&spec["minAvailable"]),
            bound(&spec["maxUnavailable"]),
            json!(number(&object["status"]["disruptionsAllowed"])),
            age(object, now),
        ]
    })
}

/// A number or a percentage.
fn bound(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        number => json!(number.to_string()),
    }
}
