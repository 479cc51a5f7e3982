//! Sets and budgets that are made, changed and refused.

use serde_json::{Value, json};

use crate::kind::{Kind, Part};
use crate::kinds::by_kind;
use crate::validation::aggregate;

fn made(kind: &Kind, spec: Value) -> Value {
    let metadata = json!({"name": "w", "namespace": "n", "uid": "u"});
    let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata, "spec": spec});
    kind.default(&mut object);
    kind.prepare_create(&mut object);
    object
}

fn set(kind: &Kind, more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "c"}]}}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    made(kind, spec)
}

#[test]
fn a_stateful_set_mounts_what_it_claims() {
    let kind = by_kind("apps", "v1", "StatefulSet").unwrap();
    let claims = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}]);
    let mut mounting = set(kind, json!({"volumeClaimTemplates": claims}));
    mounting["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/d"}]);
    assert_eq!(kind.validate(&mounting), []);
    assert_eq!(mounting["spec"]["volumeClaimTemplates"][0]["kind"], "PersistentVolumeClaim");
    let mut new = mounting.clone();
    new["spec"]["volumeClaimTemplates"] = json!([]);
    new["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([]);
    let text = aggregate(&kind.validate_update(&new, &mounting, Part::Object));
    assert!(
        text.starts_with("spec: Forbidden: updates to statefulset spec for fields other than 'replicas'"),
        "{text}"
    );
}

#[test]
fn a_set_that_makes_no_sense_is_told_why() {
    let table = [
        (
            "StatefulSet",
            json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}}),
            "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'",
        ),
        (
            "StatefulSet",
            json!({"ordinals": {"start": -1}}),
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "DaemonSet",
            json!({"updateStrategy": {"type": "Recreate"}}),
            "spec.updateStrategy: Unsupported value: {\"Type\":\"Recreate\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"",
        ),
        (
            "DaemonSet",
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}),
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ),
    ];
    for (name, more, why) in table {
        let kind = by_kind("apps", "v1", name).unwrap();
        assert_eq!(aggregate(&kind.validate(&set(kind, more.clone()))), why, "{more}");
    }
}

#[test]
fn a_daemon_set_counts_its_templates() {
    const COUNT: &str = "deprecated.daemonset.template.generation";
    let kind = by_kind("apps", "v1", "DaemonSet").unwrap();
    let old = set(kind, json!({}));
    assert_eq!(old["metadata"]["annotations"][COUNT], "1");
    let mut new = old.clone();
    new["metadata"]["annotations"][COUNT] = json!("7");
    kind.prepare_update(&mut new, &old, Part::Object);
    assert_eq!(new["metadata"]["annotations"][COUNT], "1");
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    kind.prepare_update(&mut new, &old, Part::Object);
    assert_eq!(new["metadata"]["annotations"][COUNT], "2");
}

#[test]
fn a_replication_controller_is_labelled_as_its_pods() {
    let kind = by_kind("", "v1", "ReplicationController").unwrap();
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}});
    let object = made(kind, json!({"template": template}));
    assert_eq!(
        (&object["spec"]["selector"], &object["metadata"]["labels"]),
        (&json!({"app": "a"}), &json!({"app": "a"}))
    );
    assert_eq!(kind.validate(&object), []);
    assert_eq!(
        aggregate(&kind.validate(&made(kind, json!({"selector": {"a": "b"}})))),
        "spec.template: Required value"
    );
}

#[test]
fn a_budget_says_one_thing() {
    let kind = by_kind("policy", "v1", "PodDisruptionBudget").unwrap();
    let both = made(kind, json!({"minAvailable": 1, "maxUnavailable": 1, "selector": {"matchLabels": {"app": "a"}}}));
    assert_eq!(
        aggregate(&kind.validate(&both)),
        "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"app\":\"a\"}},\"MaxUnavailable\":1,\
         \"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set"
    );
    let much = made(kind, json!({"minAvailable": "200%"}));
    assert_eq!(
        aggregate(&kind.validate(&much)),
        "spec.minAvailable: Invalid value: \"200%\": must not be greater than 100%"
    );
}
