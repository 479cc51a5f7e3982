//! Containers: ports, probes, hooks, environment.

use serde_json::Value;

use super::{Object, child, fill, fill_number, fill_text, items, text};

/// The lists of a pod's spec that hold containers.
pub(super) const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(super) fn defaults(container: &mut Object) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = if is_latest(text(container, "image")) { "Always" } else { "IfNotPresent" };
        container.insert("imagePullPolicy".to_owned(), policy.into());
    }
    fill_text(container, "terminationMessagePath", "/dev/termination-log");
    fill_text(container, "terminationMessagePolicy", "File");
    items(container, "ports").for_each(|port| fill_text(port, "protocol", "TCP"));
    items(container, "env").for_each(env);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        child(container, name).into_iter().for_each(probe);
    }
    if let Some(lifecycle) = child(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            child(lifecycle, hook).and_then(|hook| child(hook, "httpGet")).into_iter().for_each(http_get);
        }
    }
}

/// An image without tag and digest means its tag `latest`.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none() && !name.is_empty(),
    }
}

fn env(variable: &mut Object) {
    let Some(source) = child(variable, "valueFrom") else { return };
    child(source, "fieldRef").into_iter().for_each(field_ref);
    child(source, "resourceFieldRef").into_iter().for_each(resource_field_ref);
    if let Some(file) = child(source, "fileKeyRef") {
        fill(file, "optional", false);
    }
}

pub(super) fn field_ref(reference: &mut Object) {
    fill_text(reference, "apiVersion", "v1");
}

pub(super) fn resource_field_ref(reference: &mut Object) {
    fill(reference, "divisor", "0");
}

fn probe(probe: &mut Object) {
    fill_number(probe, "timeoutSeconds", 1);
    fill_number(probe, "periodSeconds", 10);
    fill_number(probe, "successThreshold", 1);
    fill_number(probe, "failureThreshold", 3);
    child(probe, "httpGet").into_iter().for_each(http_get);
    if let Some(grpc) = child(probe, "grpc") {
        fill(grpc, "service", "");
    }
}

fn http_get(get: &mut Object) {
    fill_text(get, "path", "/");
    fill_text(get, "scheme", "HTTP");
}

/// A limit is also a request, unless another one is made. Pods only: a template keeps what it was given.
pub(super) fn requests_from_limits(container: &mut Object) {
    let Some(resources) = child(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = super::make(resources, "requests") else { return };
    for (name, limit) in limits {
        fill(requests, &name, limit);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// On the host's network a container's port is the host's.
pub(super) fn host_ports(container: &mut Object) {
    for port in items(container, "ports") {
        let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
        fill_number(port, "hostPort", number);
    }
}

#[cfg(test)]
mod tests {
    use super::is_latest;

    #[test]
    fn only_the_tag_latest_is_pulled_always() {
        for image in ["a", "a:latest", "registry:5000/a", "r.io/b/a:latest"] {
            assert!(is_latest(image), "{image}");
        }
        for image in ["", "a:v1", "registry:5000/a:v1", "a@sha256:00", "a:v1@sha256:00"] {
            assert!(!is_latest(image), "{image}");
        }
    }
}
