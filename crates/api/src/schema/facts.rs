//! What the tables cannot say: names that JSON spells otherwise, messages it inlines, and which carry a type.

/// Fields of the wire whose message JSON writes in its parent.
pub(super) fn is_inlined(message: &str, field: &str) -> bool {
    matches!(
        (message, field),
        ("Volume", "volumeSource")
            | ("PersistentVolumeSpec", "persistentVolumeSource")
            | ("Probe", "handler")
            | ("EphemeralContainer", "ephemeralContainerCommon")
            | ("NamedRuleWithOperations", "ruleWithOperations")
            | ("RuleWithOperations", "rule")
            | ("IngressRule", "ingressRuleValue")
            | (
                "DeviceAllocationConfiguration" | "DeviceClaimConfiguration" | "DeviceClassConfiguration",
                "deviceConfiguration"
            )
            | (
                "ConfigMapEnvSource"
                    | "ConfigMapKeySelector"
                    | "ConfigMapProjection"
                    | "ConfigMapVolumeSource"
                    | "SecretEnvSource"
                    | "SecretKeySelector"
                    | "SecretProjection",
                "localObjectReference"
            )
    )
}

/// The JSON name of a field of the wire.
pub(super) fn json_name(message: &str, field: &str) -> String {
    match (message, field) {
        ("JSONSchemaProps", "ref") => "$ref".to_owned(),
        ("JSONSchemaProps", "schema") => "$schema".to_owned(),
        ("JSONSchemaProps", name) if name.starts_with("xKubernetes") => kebab(name),
        ("DaemonEndpoint", "Port") => "Port".to_owned(),
        (_, "aPIGroup") => "apiGroup".to_owned(),
        (_, "uID") => "uid".to_owned(),
        (_, name) if name.starts_with(|c: char| c.is_ascii_uppercase()) => name[..1].to_ascii_lowercase() + &name[1..],
        (_, name) => name.to_owned(),
    }
}

fn kebab(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

/// Messages with `metadata` that are parts of others and so carry no `apiVersion` and `kind`.
pub(super) const PARTS: &[&str] =
    &["PodTemplateSpec", "JobTemplateSpec", "PersistentVolumeClaimTemplate", "ResourceClaimTemplateSpec"];

/// Messages without `metadata` that are bodies of their own.
const BODIES: &[&str] = &[
    "DeleteOptions",
    "CreateOptions",
    "UpdateOptions",
    "PatchOptions",
    "GetOptions",
    "ListOptions",
    "APIVersions",
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "PodLogOptions",
    "PodExecOptions",
    "PodAttachOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
    "NodeProxyOptions",
    "ServiceProxyOptions",
    "AdmissionReview",
    "ConversionReview",
];

pub(super) fn is_typed(message: &str, has_metadata: bool) -> bool {
    (has_metadata && !PARTS.contains(&message)) || BODIES.contains(&message)
}

/// The map keys that have a default of their own in an associative list.
pub(super) fn key_default(message: &str, list: &str, key: &str) -> Option<&'static str> {
    match (message, list, key) {
        ("Container" | "EphemeralContainer" | "ServiceSpec", "ports", "protocol") => Some("TCP"),
        (_, "imagePullSecrets", "name") => Some(""),
        _ => None,
    }
}
