//! Kinds that keep pods running, beside those of `apps`, and the budgets of their disruptions.

use serde_json::{Value, json};

use super::{fields, row, scale, status, strings};
use crate::kind::{Generation, Hooks, Kind};
use crate::{columns, defaults, names, validation, warnings};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn core() -> Vec<Kind> {
    vec![replication_controller()]
}

pub(super) fn apps() -> Vec<Kind> {
    vec![daemon_set(), stateful_set()]
}

pub(super) fn policy() -> Vec<Kind> {
    vec![disruption_budget()]
}

fn daemon_set() -> Kind {
    Kind {
        short_names: strings(&["ds"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![status("DaemonSet", "apps")],

        columns: columns::workloads::daemon_set(),
        hooks: Hooks {
            defaults: defaults::workloads::daemon_set,
            prepare_create: |set| count_templates(set, None),
            prepare_update: |new, old, _| count_templates(new, Some(old)),
            validate: validation::daemon_set::daemon_set,
            validate_update: validation::daemon_set::daemon_set_update,
            warnings: warnings::workload,
            ..Hooks::default()
        },
        empty_status: Some(json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        })),
        ..row("apps", "v1", "DaemonSet", "daemonsets")
    }
}

/// An annotation counts the templates that a set has had. Nobody else may write it.
fn count_templates(new: &mut Value, old: Option<&Value>) {
    let count = match old {
        None => 1,
        Some(old) => {
            let before = &old["metadata"]["annotations"][TEMPLATE_GENERATION];
            let before: i64 = before.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            before + i64::from(old["spec"]["template"] != new["spec"]["template"])
        }
    };
    if !new["metadata"]["annotations"].is_object() {
        new["metadata"]["annotations"] = json!({});
    }
    new["metadata"]["annotations"][TEMPLATE_GENERATION] = json!(count.to_string());
}

fn stateful_set() -> Kind {
    Kind {
        short_names: strings(&["sts"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        subresources: vec![scale(), status("StatefulSet", "apps")],

        columns: columns::workloads::stateful_set(),
        hooks: Hooks {
            defaults: defaults::workloads::stateful_set,
            prepare_create: |set| drop_max_unavailable(set, &Value::Null),
            prepare_update: |new, old, _| drop_max_unavailable(new, old),
            validate: validation::stateful_set::stateful_set,
            validate_update: validation::stateful_set::stateful_set_update,
            validate_name: names::dns_label_name,
            warnings: stateful_set_warnings,
            ..Hooks::default()
        },
        empty_status: Some(json!({"replicas": 0, "availableReplicas": 0})),
        ..row("apps", "v1", "StatefulSet", "statefulsets")
    }
}

fn stateful_set_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut all = warnings::workload(new, old);
    if new["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
        let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
        all.push(format!("spec.revisionHistoryLimit: {why}"));
    }
    all
}

/// The feature is off in a cluster that nobody has told otherwise: only who has the field keeps it.
fn drop_max_unavailable(new: &mut Value, old: &Value) {
    let had_it = !old["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].is_null();
    let rolling = new.pointer_mut("/spec/updateStrategy/rollingUpdate").and_then(Value::as_object_mut);
    if let Some(rolling) = rolling.filter(|_| !had_it) {
        rolling.remove("maxUnavailable");
    }
}

fn replication_controller() -> Kind {
    let n_replicas = |object: &Value| object["status"]["replicas"].as_i64().unwrap_or(0).to_string();
    Kind {
        short_names: strings(&["rc"]),
        categories: strings(&["all"]),
        generation: Generation::Spec,
        orphans: true,
        subresources: vec![scale(), status("ReplicationController", "")],
        fields: fields(&[("status.replicas", n_replicas)]),

        columns: columns::workloads::replication_controller(),
        hooks: Hooks {
            defaults: defaults::workloads::replication_controller,
            validate: validation::replication::replication_controller,
            validate_update: validation::replication::replication_controller_update,
            warnings: warnings::workload,
            ..Hooks::default()
        },
        empty_status: Some(json!({"replicas": 0})),
        ..row("", "v1", "ReplicationController", "replicationcontrollers")
    }
}

fn disruption_budget() -> Kind {
    let healthy = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    Kind {
        short_names: strings(&["pdb"]),
        generation: Generation::Spec,
        unconditional_update: false,
        subresources: vec![status("PodDisruptionBudget", "policy")],

        columns: columns::workloads::disruption_budget(),
        hooks: Hooks {
            validate: validation::budgets::disruption_budget,
            validate_update: validation::budgets::disruption_budget_update,
            ..Hooks::default()
        },
        empty_status: Some(healthy),
        ..row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
    }
}

#[cfg(test)]
mod tests;
