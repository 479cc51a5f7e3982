//! Containers of a pod: regular ones, those that run before, and those that are added to a running pod.

use std::collections::BTreeSet;

use super::probes::{self, Probe};
use super::volumes::Volumes;
use super::{Cursor, Errors, common, env, mounts, resources, security};
use crate::names;

const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
/// What a container that is added for debugging has not.
const NOT_EPHEMERAL: [&str; 8] = [
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
];

/// What the checks of containers need to know about their pod.
pub(super) struct Pod<'p> {
    pub(super) volumes: &'p Volumes<'p>,
    pub(super) claims: &'p [&'p str],
    pub(super) host_network: bool,
}

/// All containers of a spec, in upstream's order.
pub(super) fn all(spec: Cursor<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    let (regular, init) = (spec.field("containers"), spec.field("initContainers"));
    if regular.is_empty() {
        errors.push(regular.required(""));
    }
    let mut names = BTreeSet::new();
    for container in regular.items() {
        common_part(container, pod, errors);
        unique(container, &mut names, errors);
        handlers(container, errors);
        restart_policy(container, errors);
    }
    host_ports(regular, pod, errors);
    for container in init.items() {
        common_part(container, pod, errors);
        unique(container, &mut names, errors);
        init_container(container, errors);
    }
    ephemeral(spec, pod, &mut names, errors);
}

fn unique<'v>(container: Cursor<'_, 'v>, names: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    let name = container.field("name");
    if !name.str().is_empty() && !names.insert(name.str()) {
        errors.push(name.duplicate());
    }
}

fn common_part(at: Cursor<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    common::required_text(at.field("name"), names::dns_label, errors);
    image(at.field("image"), errors);
    let message = at.field("terminationMessagePolicy");
    common::one_of(message, &["File", "FallbackToLogsOnError"], errors);
    ports(at.field("ports"), pod, errors);
    env::env(at.field("env"), errors);
    env::env_from(at.field("envFrom"), errors);
    mounts::mounts(at, pod.volumes, errors);
    common::one_of(at.field("imagePullPolicy"), &PULL_POLICIES, errors);
    resources::requirements(at.field("resources"), pod.claims, errors);
    resize_policy(at.field("resizePolicy"), errors);
    security::container(at.field("securityContext"), errors);
}

fn image(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
    }
}

fn handlers(at: Cursor<'_, '_>, errors: &mut Errors) {
    probes::lifecycle(at.field("lifecycle"), errors);
    probes::probe(at.field("livenessProbe"), Probe::Liveness, errors);
    probes::probe(at.field("readinessProbe"), Probe::Readiness, errors);
    probes::probe(at.field("startupProbe"), Probe::Startup, errors);
}

fn restart_policy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (policy, rules) = (at.field("restartPolicy"), at.field("restartPolicyRules"));
    common::optional_one_of(policy, &RESTART_POLICIES, errors);
    if !rules.is_empty() && !policy.is_set() {
        errors.push(policy.required("must specify restartPolicy when restart rules are used"));
    }
}

/// One that runs to its end, or, restarted always, beside the others.
fn init_container(at: Cursor<'_, '_>, errors: &mut Errors) {
    restart_policy(at, errors);
    if at.field("restartPolicy").str() == "Always" {
        handlers(at, errors);
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if at.field(field).is_set() {
            errors.push(at.field(field).forbidden("may not be set for init containers without restartPolicy=Always"));
        }
    }
}

fn ports(at: Cursor<'_, '_>, pod: &Pod<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let (name, number, host) = (port.field("name"), port.field("containerPort"), port.field("hostPort"));
        if !name.str().is_empty() {
            common::text(name, names::port_name, errors);
            if names::port_name(name.str()).is_empty() && !names.insert(name.str()) {
                errors.push(name.duplicate());
            }
        }
        if number.int() == 0 {
            errors.push(number.required(""));
        } else {
            common::port_number(number, errors);
        }
        if host.int() != 0 {
            common::port_number(host, errors);
        }
        if pod.host_network && host.int() != 0 && host.int() != number.int() {
            errors.push(host.invalid("must match `containerPort` when `hostNetwork` is true"));
        }
        common::one_of(port.field("protocol"), &["SCTP", "TCP", "UDP"], errors);
    }
}

/// Two containers cannot have the same port of the host.
fn host_ports(containers: Cursor<'_, '_>, _pod: &Pod<'_>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for container in containers.items() {
        let ports = container.field("ports");
        for port in ports.items() {
            let host = port.field("hostPort");
            let text = |field: &str| port.get(field).as_str().unwrap_or_default().to_owned();
            let wanted = format!("{}/{}/{}", text("protocol"), text("hostIP"), host.int());
            if host.int() != 0 && !taken.insert(wanted.clone()) {
                errors.push(super::FieldError::duplicate(host.path(), &wanted.into()));
            }
        }
    }
}

fn resize_policy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let (resource, restart) = (policy.get("resourceName"), policy.get("restartPolicy"));
        let named = at.with("", resource);
        if !["cpu", "memory"].contains(&named.str()) {
            errors.push(super::FieldError::not_supported(at.path(), resource, &["cpu", "memory"]));
        } else if !seen.insert(named.str()) {
            errors.push(super::FieldError::duplicate(at.path(), resource));
        }
        if !["NotRequired", "RestartContainer"].contains(&restart.as_str().unwrap_or_default()) {
            let supported = ["NotRequired", "RestartContainer"];
            errors.push(super::FieldError::not_supported(at.path(), restart, &supported));
        }
    }
}

fn ephemeral<'v>(spec: Cursor<'_, 'v>, pod: &Pod<'_>, names: &mut BTreeSet<&'v str>, errors: &mut Errors) {
    let regular = spec.field("containers");
    for container in spec.field("ephemeralContainers").items() {
        common_part(container, &Pod { claims: &[], ..*pod }, errors);
        unique(container, names, errors);
        let target = container.field("targetContainerName");
        let known = regular.items().any(|c| c.field("name").str() == target.str());
        if !target.str().is_empty() && !known {
            errors.push(target.not_found());
        }
        for field in NOT_EPHEMERAL {
            if !container.field(field).is_empty() {
                errors.push(container.field(field).forbidden("cannot be set for an Ephemeral Container"));
            }
        }
    }
}
