//! Pods and pod templates.

use serde_json::Value;

use super::container::{self, Pod};
use super::{
    Cursor, Errors, FieldError, affinity, common, go_text, metadata, pod_annotations, pod_update, resources,
    scheduling, security, volumes, windows,
};
use crate::kind::{Part, name_of};
use crate::names;

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;
const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// A new pod.
pub(crate) fn validate(pod: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(pod), Vec::new());
    let at = root.field("spec");
    metadata_and_spec(root, name_of(pod), &mut errors);
    if !at.field("ephemeralContainers").is_empty() {
        errors.push(at.field("ephemeralContainers").forbidden("cannot be set on create"));
    }
    if !at.field("schedulingGates").is_empty() && !at.field("nodeName").str().is_empty() {
        errors.push(at.field("nodeName").forbidden("cannot be set until all schedulingGates have been cleared"));
    }
    pod_annotations::match_fields(root.field("metadata"), at, &mut errors);
    errors
}

/// What is checked of a pod whenever it is written.
pub(super) fn metadata_and_spec(root: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    let (metadata, at) = (root.field("metadata"), root.field("spec"));
    pod_annotations::check(metadata.field("annotations"), at, errors);
    spec(at, name, errors);
    tokens(at, errors);
    for list in ["containers", "initContainers"] {
        for container in at.field(list).items() {
            let image = container.field("image");
            if image.str().trim() != image.str() {
                errors.push(image.invalid("must not have leading or trailing whitespace"));
            }
        }
    }
}

/// A token is somebody's.
fn tokens(spec: Cursor<'_, '_>, errors: &mut Errors) {
    if !spec.field("serviceAccountName").str().is_empty() {
        return;
    }
    for volume in spec.field("volumes").items() {
        let projected = volume.field("projected");
        for source in projected.field("sources").items() {
            let token = source.field("serviceAccountToken");
            if token.is_set() {
                errors.push(token.forbidden("must not be specified when serviceAccountName is not set"));
            }
        }
    }
}

/// A change of a pod.
pub(crate) fn validate_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    pod_update::validate(new, old, part)
}

/// The pod that a workload makes copies of. `at` is `template`.
pub(crate) fn template(at: Cursor<'_, '_>, errors: &mut Errors) {
    let metadata = at.field("metadata");
    common::labels(at.with("labels", metadata.get("labels")), errors);
    metadata::annotations(at.with("annotations", metadata.get("annotations")), errors);
    let spec = at.field("spec");
    pod_annotations::check(at.with("annotations", metadata.get("annotations")), spec, errors);
    self::spec(spec, "", errors);
    pod_annotations::match_fields(metadata, spec, errors);
    if !spec.field("ephemeralContainers").is_empty() {
        errors.push(spec.field("ephemeralContainers").forbidden("ephemeral containers not allowed in pod template"));
    }
}

/// A pod's spec, in upstream's order.
pub(super) fn spec(at: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
    let volumes = volumes::volumes(at.field("volumes"), name, errors);
    let claims: Vec<&str> = resource_claims(at.field("resourceClaims"), errors);
    let pod = Pod {
        volumes: &volumes,
        claims: &claims,
        grace: at.field("terminationGracePeriodSeconds").int(),
        never_restarts: at.field("restartPolicy").str() == "Never",
        own_users: at.get("hostUsers").as_bool() == Some(false),
    };
    container::all(at, &pod, errors);
    container::host_network(at, !name.is_empty(), errors);
    pod_resources(at, errors);
    common::one_of(at.field("restartPolicy"), &["Always", "OnFailure", "Never"], errors);
    common::one_of(at.field("dnsPolicy"), &DNS_POLICIES, errors);
    common::labels(at.field("nodeSelector"), errors);
    security::pod(at, errors);
    affinity::affinity(at.field("affinity"), errors);
    dns(at, errors);
    scheduling::readiness_gates(at.field("readinessGates"), errors);
    scheduling::gates(at.field("schedulingGates"), errors);
    scheduling::spread(at.field("topologySpreadConstraints"), errors);
    windows::host_process(at, errors);
    security::host_users(at, errors);
    names_of_others(at, errors);
    deadline(at, errors);
    host_names(at, errors);
    scheduling::tolerations(at.field("tolerations"), errors);
    host_aliases(at.field("hostAliases"), errors);
    common::optional_text(at.field("priorityClassName"), names::dns_subdomain, errors);
    common::optional_text(at.field("runtimeClassName"), names::dns_subdomain, errors);
    let preemption = at.field("preemptionPolicy");
    common::optional_one_of(preemption, &["Never", "PreemptLowerPriority"], errors);
    os(at, errors);
}

fn resource_claims<'v>(at: Cursor<'_, 'v>, errors: &mut Errors) -> Vec<&'v str> {
    let mut names: Vec<&str> = Vec::new();
    for claim in at.items() {
        let name = claim.field("name");
        if name.str().is_empty() {
            errors.push(name.required(""));
        } else if names.contains(&name.str()) {
            errors.push(name.duplicate());
        } else {
            common::text(name, names::dns_label, errors);
            names.push(name.str());
        }
        claim_source(claim, errors);
    }
    names
}

/// A claim is there already, or made from a template.
fn claim_source(claim: Cursor<'_, '_>, errors: &mut Errors) {
    let sources = [claim.field("resourceClaimName"), claim.field("resourceClaimTemplateName")];
    let wrong = match sources.map(|source| source.is_set()) {
        [true, true] => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        [false, false] => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
        [true, false] | [false, true] => "",
    };
    if !wrong.is_empty() {
        let shown = go_text::shown("PodResourceClaim", claim.value());
        errors.push(FieldError::invalid_in_order(claim.path(), &shown, wrong));
    }
    for source in sources.into_iter().filter(|source| source.is_set()) {
        common::text(source, names::dns_subdomain, errors);
    }
}

fn pod_resources(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.field("resources").is_set() {
        resources::requirements(at.field("resources"), &[], errors);
    }
    let overhead = at.field("overhead");
    for (_, amount) in overhead.entries() {
        resources::quantity(amount, errors);
    }
}

fn names_of_others(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::optional_text(at.field("serviceAccountName"), names::dns_subdomain, errors);
    common::optional_text(at.field("nodeName"), names::dns_subdomain, errors);
}

fn deadline(at: Cursor<'_, '_>, errors: &mut Errors) {
    let seconds = at.field("activeDeadlineSeconds");
    if seconds.is_set() && !(1..=i64::from(i32::MAX)).contains(&seconds.int()) {
        errors.push(seconds.invalid("must be between 1 and 2147483647, inclusive"));
    }
}

fn host_names(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::optional_text(at.field("hostname"), names::dns_label, errors);
    common::optional_text(at.field("subdomain"), names::dns_label, errors);
    let other = at.field("hostnameOverride");
    common::optional_text(other, names::dns_subdomain, errors);
    if !other.str().is_empty() && at.field("hostNetwork").bool() {
        errors.push(other.forbidden("may not be specified when hostNetwork is true"));
    }
    if !other.str().is_empty() && at.get("setHostnameAsFQDN").as_bool().unwrap_or_default() {
        errors.push(other.forbidden("may not be specified when setHostnameAsFQDN is true"));
    }
}

fn host_aliases(at: Cursor<'_, '_>, errors: &mut Errors) {
    for alias in at.items() {
        common::ip(alias.field("ip"), errors);
        for name in alias.field("hostnames").items() {
            common::text(name, names::dns_subdomain, errors);
        }
    }
}

fn dns(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let at = spec.field("dnsConfig");
    let servers = at.field("nameservers");
    if spec.field("dnsPolicy").str() == "None" {
        if !at.is_set() {
            errors.push(at.required("must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if servers.is_empty() {
            errors.push(servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None"));
            return;
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        errors.push(servers.invalid(&format!("must not have more than {NAMESERVERS_MAX} nameservers")));
    }
    for server in servers.items() {
        common::ip(server, errors);
    }
    searches(at.field("searches"), errors);
    for option in at.field("options").items() {
        if option.field("name").str().is_empty() {
            errors.push(option.required("must not be empty"));
        }
    }
}

fn searches(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.len() > SEARCHES_MAX {
        errors.push(at.invalid(&format!("must not have more than {SEARCHES_MAX} search paths")));
    }
    let characters = at.items().map(|s| s.str().len() + 1).sum::<usize>().saturating_sub(1);
    if characters > SEARCH_CHARACTERS_MAX {
        let detail =
            format!("must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list");
        errors.push(at.invalid(&detail));
    }
    for search in at.items() {
        let name = search.str().strip_suffix('.').unwrap_or(search.str());
        if search.str() != "." {
            errors.extend(names::dns_subdomain_relaxed(name).iter().map(|problem| search.invalid(problem)));
        }
    }
}

fn os(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let os = spec.field("os");
    match os.field("name").str() {
        _ if !os.is_set() => {}
        "" => errors.push(os.field("name").required("cannot be empty")),
        "linux" => windows::not_linux(spec, errors),
        "windows" => windows::not_windows(spec, errors),
        name => errors.push(FieldError::not_supported(os.path(), &name.into(), &["linux", "windows"])),
    }
}
