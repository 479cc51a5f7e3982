//! Pods and pod templates.

use serde_json::Value;

use super::{node, ports, volumes, workload_name};
use crate::quantity::Quantity;
use crate::validation::{Cursor, go_quote};

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_MATCH: &str = "a null labelSelector results in matching no pod";
const DEAD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    ("security.alpha.kubernetes.io/unsafe-sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP: &str = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;

/// A pod is looked at when it is made only: people seldom write pods, and machines do not read warnings.
pub(crate) fn pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        let root = Cursor::root(new);
        containers(root.field("spec"), |at| apparmor(root, at, &mut warnings));
        workload_name(new, &mut warnings);
        template(root, &mut warnings);
    }
    warnings
}

/// An object that is a template and nothing else.
pub(crate) fn pod_template(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none_or(|old| old["template"] != new["template"]) {
        let root = Cursor::root(new);
        let at = root.field("template");
        template(at, &mut warnings);
    }
    warnings
}

/// What has `metadata` and a pod's `spec`.
pub(crate) fn template(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let (metadata, spec) = (at.field("metadata"), at.field("spec"));
    let is_template = !at.path().is_empty();
    node::labels(spec, warnings);
    spread(spec, warnings);
    let annotations = metadata.field("annotations");
    for (name, why) in DEAD_ANNOTATIONS {
        if annotations.key(name).is_set() {
            warnings.push(format!("{}: {why}", annotations.key(name).path()));
        }
    }
    volumes::sources(spec.field("volumes"), warnings);
    volumes::overlaps(spec.field("volumes"), warnings);
    repeated(spec.field("hostAliases"), "ip", warnings);
    repeated(spec.field("imagePullSecrets"), "name", warnings);
    nameless(spec.field("imagePullSecrets"), warnings);
    fractions(spec.field("overhead"), warnings);
    if !spec.field("securityContext").field("seccompProfile").is_set() && annotations.key(SECCOMP_POD).is_set() {
        warnings.push(format!("{}: {SECCOMP}", annotations.key(SECCOMP_POD).path()));
    }
    containers(spec, |container| {
        seccomp(annotations, container, warnings);
        if is_template {
            apparmor(at, container, warnings);
        }
        let resources = container.field("resources");
        bytes(resources, "memory", warnings);
        bytes(resources, "ephemeral-storage", warnings);
        variables(container.field("env"), warnings);
    });
    let mut taken = ports::Taken::default();
    containers(spec, |container| taken.note(container.field("ports"), warnings));
    let grace = spec.field("terminationGracePeriodSeconds");
    if grace.int() < 0 {
        warnings.push(format!("{}: must be >= 0; negative values are invalid and will be treated as 1", grace.path()));
    }
    affinity(spec.field("affinity"), warnings);
}

fn containers(spec: Cursor<'_, '_>, mut visit: impl FnMut(Cursor<'_, '_>)) {
    for list in LISTS {
        spec.field(list).items().for_each(&mut visit);
    }
}

fn spread(spec: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for constraint in spec.field("topologySpreadConstraints").items() {
        let key = constraint.field("topologyKey");
        if let Some(why) = node::deprecated(key.str()) {
            warnings.push(format!("{}: {} is {why}", key.path(), key.str()));
        }
        selector(constraint, warnings);
    }
}

fn selector(term: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let at = term.field("labelSelector");
    if !at.is_set() {
        warnings.push(format!("{}: {NO_MATCH}", at.path()));
    }
}

fn affinity(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = at.field(kind);
        terms.field(REQUIRED).items().for_each(|term| selector(term, warnings));
        for term in terms.field(PREFERRED).items() {
            selector(term.field("podAffinityTerm"), warnings);
        }
    }
}

fn repeated(list: Cursor<'_, '_>, field: &str, warnings: &mut Vec<String>) {
    let mut seen = Vec::new();
    for item in list.items() {
        let at = item.field(field);
        if seen.contains(&at.str()) {
            warnings.push(format!("{}: duplicate {field} {}", at.path(), go_quote(at.str())));
        }
        seen.push(at.str());
    }
}

fn nameless(secrets: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for secret in secrets.items().filter(|secret| secret.field("name").str().is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", secret.field("name").path()));
    }
}

fn fractions(list: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        fraction(list.key(name), warnings);
    }
}

fn bytes(resources: Cursor<'_, '_>, name: &str, warnings: &mut Vec<String>) {
    for list in ["limits", "requests"] {
        fraction(resources.field(list).key(name), warnings);
    }
}

/// Half a byte cannot be had.
pub(super) fn fraction(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let amount = at.str().parse::<Quantity>().ok().filter(|amount| amount.milli_value() % 1000 != 0);
    if let Some(amount) = amount {
        let amount = go_quote(&amount.to_string());
        warnings.push(format!("{}: fractional byte value {amount} is invalid, must be an integer", at.path()));
    }
}

fn seccomp(annotations: Cursor<'_, '_>, container: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let name = format!("{SECCOMP_CONTAINER}{}", container.field("name").str());
    if !container.field("securityContext").field("seccompProfile").is_set() && annotations.key(&name).is_set() {
        warnings.push(format!("{}: {SECCOMP}", annotations.key(&name).path()));
    }
}

fn apparmor(owner: Cursor<'_, '_>, container: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let (metadata, spec) = (owner.field("metadata"), owner.field("spec"));
    let annotations = metadata.field("annotations");
    let name = format!("{APPARMOR}{}", container.field("name").str());
    let has_field = [spec, container].iter().any(|at| at.field("securityContext").field("appArmorProfile").is_set());
    if !has_field && annotations.key(&name).is_set() {
        let why = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
        warnings.push(format!("{}: {why}", annotations.key(&name).path()));
    }
}

/// A variable that is set twice, unless the second builds upon the first.
fn variables(env: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let mut seen = Vec::new();
    for variable in env.items() {
        let (name, value) = (variable.field("name").str(), variable.field("value").str());
        if !seen.contains(&name) {
            seen.push(name);
            continue;
        }
        let reference = format!("$({name})");
        if variable.field("valueFrom").is_set() || value == reference || !value.contains(&reference) {
            let name = go_quote(name);
            let path = variable.path();
            warnings
                .push(format!("{path}: hides previous definition of {name}, which may be dropped when using apply"));
        }
    }
}
