//! Pods and the templates that make them.

use serde_json::{Map, Value};

use super::{Object, child, container, fill, fill_text, items, text, volumes};

/// A pod.
pub(crate) fn pod(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|o| super::make(o, "spec")) else { return };
    let pod_resources = child(spec, "resources").is_some();
    for list in ["initContainers", "containers"] {
        items(spec, list).for_each(container::requests_from_limits);
    }
    if pod_resources {
        container::requests_from_limits(spec);
    }
    fill(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or_default() {
        for list in ["initContainers", "containers"] {
            items(spec, list).for_each(container::host_ports);
        }
    }
    pod_spec(spec);
}

/// The object in the field `template`.
pub(crate) fn template(owner: &mut Object) {
    let Some(template) = child(owner, "template") else { return };
    if let Some(spec) = super::make(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Object) {
    fill_text(spec, "dnsPolicy", "ClusterFirst");
    fill_text(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", Map::new());
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill_text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    items(spec, "volumes").for_each(volumes::defaults);
    for list in container::LISTS {
        items(spec, list).for_each(container::defaults);
    }
}

/// The field has two names; both are always served.
fn service_account(spec: &mut Object) {
    let name = match (text(spec, "serviceAccountName"), text(spec, "serviceAccount")) {
        ("", "") => return,
        ("", old) => old.to_owned(),
        (name, _) => name.to_owned(),
    };
    spec.insert("serviceAccountName".to_owned(), name.clone().into());
    spec.insert("serviceAccount".to_owned(), name.into());
}
