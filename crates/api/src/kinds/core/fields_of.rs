//! The values that field selectors see.

use serde_json::Value;

use crate::kinds::Field;

pub(super) const POD: &[Field] = &[
    ("spec.nodeName", |pod| text(&pod["spec"]["nodeName"])),
    ("spec.restartPolicy", |pod| text(&pod["spec"]["restartPolicy"])),
    ("spec.schedulerName", |pod| text(&pod["spec"]["schedulerName"])),
    ("spec.serviceAccountName", |pod| text(&pod["spec"]["serviceAccountName"])),
    ("spec.hostNetwork", |pod| truth(&pod["spec"]["hostNetwork"])),
    ("status.phase", phase),
    ("status.podIP", |pod| text(&pod["status"]["podIP"])),
    ("status.podIPs", |pod| text(&pod["status"]["podIP"])),
    ("status.nominatedNodeName", |pod| text(&pod["status"]["nominatedNodeName"])),
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn truth(value: &Value) -> String {
    value.as_bool().unwrap_or_default().to_string()
}

pub(super) fn phase(object: &Value) -> String {
    text(&object["status"]["phase"])
}

pub(super) fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

pub(super) fn unschedulable(node: &Value) -> String {
    truth(&node["spec"]["unschedulable"])
}

pub(super) fn secret_type(secret: &Value) -> String {
    text(&secret["type"])
}

pub(super) fn cluster_ip(service: &Value) -> String {
    text(&service["spec"]["clusterIP"])
}

pub(super) fn service_type(service: &Value) -> String {
    text(&service["spec"]["type"])
}
