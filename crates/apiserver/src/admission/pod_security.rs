//! Holds pods to what their namespace's labels ask for, and namespaces to labels that mean something.

use std::collections::BTreeMap;

use coracle_api::kind::{Part, name_of};
use coracle_api::pod_security::{self, Level, Policy, Standard, Violations};
use coracle_api::status::Status;
use serde_json::Value;

use crate::registry::Write;
use crate::resources::Special;

/// Pods that are looked at when a namespace becomes stricter.
const PODS_MAX: usize = 3000;
/// The resources that make pods, and where their templates are.
const TEMPLATES: [(&str, &str, &str); 8] = [
    ("", "replicationcontrollers", "/spec/template"),
    ("", "podtemplates", "/template"),
    ("apps", "replicasets", "/spec/template"),
    ("apps", "deployments", "/spec/template"),
    ("apps", "statefulsets", "/spec/template"),
    ("apps", "daemonsets", "/spec/template"),
    ("batch", "jobs", "/spec/template"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template"),
];

/// What the client is told of an object that is let in.
pub(super) async fn check(write: &Write<'_>, object: &Value, old: Option<&Value>) -> Result<Vec<String>, Status> {
    match write.resource.special {
        Special::Namespace if write.part == Part::Object => namespace(write, object, old).await,
        Special::Pod if write.part != Part::Status => pod(write, object, old).await,
        _ if write.part == Part::Object => template(write, object).await,
        _ => Ok(Vec::new()),
    }
}

async fn policy_of(write: &Write<'_>) -> Result<Policy, Status> {
    let namespaces = write.state.resource("", "v1", "namespaces");
    let found = write.state.object(&namespaces, "", write.namespace).await?;
    Ok(found.map(|namespace| pod_security::policy(&namespace["metadata"]["labels"]).0).unwrap_or_default())
}

async fn pod(write: &Write<'_>, pod: &Value, old: Option<&Value>) -> Result<Vec<String>, Status> {
    if old.is_some_and(|old| !matters(pod, old)) {
        return Ok(Vec::new());
    }
    let policy = policy_of(write).await?;
    let violations = Violations::of(policy.enforce, &pod["metadata"], &pod["spec"]);
    if violations.is_empty() {
        return Ok(warning(policy.warn, &pod["metadata"], &pod["spec"]));
    }
    let why = format!("violates PodSecurity \"{}\": {violations}", policy.enforce);
    Err(Status::forbidden(write.resource.kind.resource(), name_of(pod), &why))
}

/// Of what an update can change, only images and debugging containers matter.
fn matters(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value, list: &str| -> Vec<Value> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.map(|container| container["image"].clone()).collect()
    };
    ["containers", "initContainers", "ephemeralContainers"].iter().any(|list| images(pod, list) != images(old, list))
}

async fn template(write: &Write<'_>, object: &Value) -> Result<Vec<String>, Status> {
    let kind = write.resource.kind.resource();
    let Some((_, _, path)) = TEMPLATES.iter().find(|(group, name, _)| (*group, *name) == (kind.group, kind.name))
    else {
        return Ok(Vec::new());
    };
    let Some(template) = object.pointer(path) else { return Ok(Vec::new()) };
    let policy = policy_of(write).await?;
    Ok(warning(policy.warn, &template["metadata"], &template["spec"]))
}

fn warning(standard: Standard, metadata: &Value, spec: &Value) -> Vec<String> {
    let violations = Violations::of(standard, metadata, spec);
    if violations.is_empty() {
        return Vec::new();
    }
    vec![format!("would violate PodSecurity \"{standard}\": {violations}")]
}

async fn namespace(write: &Write<'_>, new: &Value, old: Option<&Value>) -> Result<Vec<String>, Status> {
    let (policy, errors) = pod_security::policy(&new["metadata"]["labels"]);
    let (before, known) = old.map(|old| pod_security::policy(&old["metadata"]["labels"])).unwrap_or_default();
    if !errors.is_empty() && errors != known {
        return Err(Status::invalid(write.resource.kind.qualified(), name_of(new), &errors));
    }
    let is_stricter = policy.enforce != before.enforce
        && policy.enforce.level > Level::Privileged
        && !before.enforce.covers(&policy.enforce);
    if old.is_none() || !is_stricter {
        return Ok(Vec::new());
    }
    let pods = write.state.pods_in(name_of(new)).await?;
    Ok(violators(&pods, policy.enforce, name_of(new)))
}

/// The pods that could not be made any more, by what is wrong with them.
fn violators(pods: &[Value], standard: Standard, namespace: &str) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        let violations = Violations::of(standard, &pod["metadata"], &pod["spec"]);
        if !violations.is_empty() {
            found.entry(violations.reasons()).or_default().push(name_of(pod));
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > PODS_MAX {
        let n = pods.len();
        let what = "new PodSecurity enforce level only checked against the first";
        warnings.push(format!("{what} {PODS_MAX} of {n} existing pods"));
    }
    if !found.is_empty() {
        let what = format!("existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level");
        warnings.push(format!("{what} \"{standard}\""));
    }
    let mut lines: Vec<String> = found.iter().map(|(reasons, names)| line(reasons, names)).collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

fn line(reasons: &str, names: &[&str]) -> String {
    let first = names.iter().min().copied().unwrap_or_default();
    match names.len() {
        1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        n => format!("{first} (and {} other pods): {reasons}", n - 1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_are_alike_share_a_line() {
        let pod = |name: &str, field: &str| json!({"metadata": {"name": name}, "spec": {field: true}});
        let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
        let standard = pod_security::policy(&labels).0.enforce;
        let pods = [pod("b", "hostNetwork"), pod("a", "hostPID"), pod("c", "other")];
        assert_eq!(
            violators(&pods, standard, "ns"),
            [
                "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 1 other pod): host namespaces"
            ]
        );
        assert!(violators(&pods[2..], standard, "ns").is_empty());
    }
}
