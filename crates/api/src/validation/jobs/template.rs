//! The template of a job's pods: it never changes, but for where the pods of a job that has not begun may go.

use serde_json::{Map, Value};

use crate::validation::go_struct::{self, Field, Print};
use crate::validation::{Cursor, Errors, FieldError};

const NULL: Print = Print::Plain("null");
const TEXT: Print = Print::Plain("\"\"");
const FALSE: Print = Print::Plain("false");

const RESOURCES: &[Field] = &[("Limits", "limits", NULL), ("Requests", "requests", NULL), ("Claims", "claims", NULL)];
const CONTAINER: &[Field] = &[
    ("Name", "name", TEXT),
    ("Image", "image", TEXT),
    ("Command", "command", NULL),
    ("Args", "args", NULL),
    ("WorkingDir", "workingDir", TEXT),
    ("Ports", "ports", NULL),
    ("EnvFrom", "envFrom", NULL),
    ("Env", "env", NULL),
    ("Resources", "resources", Print::Embedded(RESOURCES)),
    ("ResizePolicy", "resizePolicy", NULL),
    ("RestartPolicy", "restartPolicy", NULL),
    ("RestartPolicyRules", "restartPolicyRules", NULL),
    ("VolumeMounts", "volumeMounts", NULL),
    ("VolumeDevices", "volumeDevices", NULL),
    ("LivenessProbe", "livenessProbe", NULL),
    ("ReadinessProbe", "readinessProbe", NULL),
    ("StartupProbe", "startupProbe", NULL),
    ("Lifecycle", "lifecycle", NULL),
    ("TerminationMessagePath", "terminationMessagePath", TEXT),
    ("TerminationMessagePolicy", "terminationMessagePolicy", TEXT),
    ("ImagePullPolicy", "imagePullPolicy", TEXT),
    ("SecurityContext", "securityContext", NULL),
    ("Stdin", "stdin", FALSE),
    ("StdinOnce", "stdinOnce", FALSE),
    ("TTY", "tty", FALSE),
];
const SECURITY: &[Field] = &[
    ("HostNetwork", "hostNetwork", FALSE),
    ("HostPID", "hostPID", FALSE),
    ("HostIPC", "hostIPC", FALSE),
    ("ShareProcessNamespace", "shareProcessNamespace", NULL),
    ("HostUsers", "hostUsers", NULL),
    ("SELinuxOptions", "seLinuxOptions", NULL),
    ("WindowsOptions", "windowsOptions", NULL),
    ("RunAsUser", "runAsUser", NULL),
    ("RunAsGroup", "runAsGroup", NULL),
    ("RunAsNonRoot", "runAsNonRoot", NULL),
    ("SupplementalGroups", "supplementalGroups", NULL),
    ("SupplementalGroupsPolicy", "supplementalGroupsPolicy", NULL),
    ("FSGroup", "fsGroup", NULL),
    ("FSGroupChangePolicy", "fsGroupChangePolicy", NULL),
    ("Sysctls", "sysctls", NULL),
    ("SeccompProfile", "seccompProfile", NULL),
    ("AppArmorProfile", "appArmorProfile", NULL),
    ("SELinuxChangePolicy", "seLinuxChangePolicy", NULL),
];
const POD: &[Field] = &[
    ("Volumes", "volumes", NULL),
    ("InitContainers", "initContainers", Print::List(CONTAINER)),
    ("Containers", "containers", Print::List(CONTAINER)),
    ("EphemeralContainers", "ephemeralContainers", NULL),
    ("RestartPolicy", "restartPolicy", TEXT),
    ("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", NULL),
    ("ActiveDeadlineSeconds", "activeDeadlineSeconds", NULL),
    ("DNSPolicy", "dnsPolicy", TEXT),
    ("NodeSelector", "nodeSelector", NULL),
    ("ServiceAccountName", "serviceAccountName", TEXT),
    ("AutomountServiceAccountToken", "automountServiceAccountToken", NULL),
    ("NodeName", "nodeName", TEXT),
    ("SecurityContext", "securityContext", Print::Reference(SECURITY)),
    ("ImagePullSecrets", "imagePullSecrets", NULL),
    ("Hostname", "hostname", TEXT),
    ("Subdomain", "subdomain", TEXT),
    ("SetHostnameAsFQDN", "setHostnameAsFQDN", NULL),
    ("Affinity", "affinity", NULL),
    ("SchedulerName", "schedulerName", TEXT),
    ("Tolerations", "tolerations", NULL),
    ("HostAliases", "hostAliases", NULL),
    ("PriorityClassName", "priorityClassName", TEXT),
    ("Priority", "priority", NULL),
    ("PreemptionPolicy", "preemptionPolicy", NULL),
    ("DNSConfig", "dnsConfig", NULL),
    ("ReadinessGates", "readinessGates", NULL),
    ("RuntimeClassName", "runtimeClassName", NULL),
    ("Overhead", "overhead", NULL),
    ("EnableServiceLinks", "enableServiceLinks", NULL),
    ("TopologySpreadConstraints", "topologySpreadConstraints", NULL),
    ("OS", "os", NULL),
    ("SchedulingGates", "schedulingGates", NULL),
    ("ResourceClaims", "resourceClaims", NULL),
    ("Resources", "resources", NULL),
    ("HostnameOverride", "hostnameOverride", NULL),
    ("SchedulingGroup", "schedulingGroup", NULL),
];

/// Fields that Go keeps in the pod's security context.
const OF_SECURITY: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];

/// `at` is the new template, `old` the whole job before.
pub(super) fn immutable(at: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    let mut before = old["spec"]["template"].clone();
    let has_not_begun = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
    if has_not_begun {
        let new = at.value();
        for field in ["labels", "annotations"] {
            take(&mut before["metadata"], &new["metadata"], field);
        }
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            take(&mut before["spec"], &new["spec"], field);
        }
        node_affinity(&mut before["spec"], &new["spec"]);
        resources(&mut before["spec"], &new["spec"]);
    }
    let metadata = at.field("metadata");
    if fields(metadata.value()) != fields(&before["metadata"]) {
        errors.push(metadata.invalid("field is immutable"));
    }
    let spec = at.field("spec");
    if fields(spec.value()) != fields(&before["spec"]) {
        errors.push(FieldError::invalid_in_order(spec.path(), &print(spec.value()), "field is immutable"));
    }
}

/// An object, which is the same when it is absent and when it is empty.
fn fields(object: &Value) -> Map<String, Value> {
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.retain(|_, value| !value.is_null());
    fields
}

fn take(into: &mut Value, from: &Value, field: &str) {
    if from[field].is_null() && into.is_null() {
        return;
    }
    into[field] = from[field].clone();
    crate::kind::drop_null(into, field);
}

fn node_affinity(into: &mut Value, from: &Value) {
    let mut affinity = fields(&into["affinity"]);
    affinity.remove("nodeAffinity");
    if let Some(node) = from["affinity"].get("nodeAffinity") {
        affinity.insert("nodeAffinity".to_owned(), node.clone());
    }
    let is_nothing = affinity.is_empty() && from["affinity"].is_null();
    into["affinity"] = if is_nothing { Value::Null } else { Value::Object(affinity) };
}

fn resources(into: &mut Value, from: &Value) {
    for list in ["initContainers", "containers"] {
        for (idx, container) in into[list].as_array_mut().into_iter().flatten().enumerate() {
            if from[list][idx]["name"] == container["name"] {
                take(container, &from[list][idx], "resources");
            }
        }
    }
}

fn print(spec: &Value) -> String {
    let mut spec = spec.clone();
    for field in OF_SECURITY {
        let value = spec[field].clone();
        if spec["securityContext"].is_object() || !value.is_null() {
            spec["securityContext"][field] = value;
        }
    }
    go_struct::print(&spec, POD)
}
