//! What the tables cannot say: names that JSON spells otherwise, messages it inlines, and which zero values it keeps.

use super::{Presence, Scalar, TypeRef};

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
const PARTS: &[&str] =
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

pub(super) fn presence(message: &str, field: &str, ty: &TypeRef, required: bool) -> Presence {
    match ty {
        TypeRef::Message(_) if is_value(message, field) => Presence::Always,
        TypeRef::Message(_) => Presence::Kept,
        TypeRef::Scalar(Scalar::Time | Scalar::MicroTime) if is_nullable_time(message, field) => Presence::Always,
        TypeRef::Scalar(_) if required => Presence::Always,
        TypeRef::Scalar(Scalar::String) if is_string_pointer(message, field) => Presence::Kept,
        TypeRef::Scalar(Scalar::String) => Presence::Omitted,
        TypeRef::Scalar(Scalar::Bool) if is_plain_bool(message, field) => Presence::Omitted,
        TypeRef::Scalar(Scalar::Int32 | Scalar::Int64) if is_plain_int(message, field) => Presence::Omitted,
        TypeRef::List(_) | TypeRef::Map(_)
            if required || matches!((message, field), ("Role" | "ClusterRole", "rules")) =>
        {
            Presence::Kept
        }
        TypeRef::List(_) | TypeRef::Map(_) => Presence::Omitted,
        TypeRef::Scalar(_) | TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => Presence::Kept,
    }
}

/// Structures that are part of their parent by value, so that an empty one is written as `{}`.
fn is_value(message: &str, field: &str) -> bool {
    match field {
        "metadata" => PARTS.contains(&message) || matches!(message, "SubjectAccessReview" | "LocalSubjectAccessReview"),
        "spec" => matches!(
            message,
            "Pod"
                | "PodTemplateSpec"
                | "Deployment"
                | "ReplicaSet"
                | "StatefulSet"
                | "DaemonSet"
                | "Job"
                | "CronJob"
                | "JobTemplateSpec"
                | "Service"
                | "Namespace"
                | "Node"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "LimitRange"
                | "ResourceQuota"
                | "Lease"
                | "NetworkPolicy"
                | "Ingress"
                | "IngressClass"
                | "PodDisruptionBudget"
                | "HorizontalPodAutoscaler"
                | "Scale"
                | "CertificateSigningRequest"
                | "CustomResourceDefinition"
                | "APIService"
                | "TokenRequest"
                | "TokenReview"
                | "SubjectAccessReview"
                | "SelfSubjectAccessReview"
                | "LocalSubjectAccessReview"
                | "SelfSubjectRulesReview"
                | "CSIDriver"
                | "CSINode"
                | "VolumeAttachment"
                | "ReplicationController"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
                | "MutatingAdmissionPolicy"
                | "MutatingAdmissionPolicyBinding"
                | "FlowSchema"
                | "PriorityLevelConfiguration"
                | "PersistentVolumeClaimTemplate"
                | "ResourceClaim"
                | "DeviceClass"
                | "ResourceSlice"
        ),
        "status" => matches!(
            message,
            "Pod"
                | "Deployment"
                | "ReplicaSet"
                | "StatefulSet"
                | "DaemonSet"
                | "Job"
                | "CronJob"
                | "Service"
                | "Namespace"
                | "Node"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "ResourceQuota"
                | "Ingress"
                | "PodDisruptionBudget"
                | "CertificateSigningRequest"
                | "ReplicationController"
                | "Scale"
                | "APIService"
                | "SubjectAccessReview"
                | "SelfSubjectAccessReview"
                | "LocalSubjectAccessReview"
                | "TokenReview"
                | "TokenRequest"
                | "ValidatingAdmissionPolicy"
                | "FlowSchema"
                | "PriorityLevelConfiguration"
                | "VolumeAttachment"
        ),
        _ => matches!(
            (message, field),
            ("Container" | "EphemeralContainer", "resources")
                | ("PersistentVolumeClaimSpec", "resources")
                | ("ServiceStatus" | "IngressStatus", "loadBalancer")
                | ("DeploymentSpec", "strategy")
                | ("StatefulSetSpec" | "DaemonSetSpec", "updateStrategy")
                | (
                    "DeploymentSpec"
                        | "StatefulSetSpec"
                        | "DaemonSetSpec"
                        | "JobSpec"
                        | "ReplicaSetSpec"
                        | "PodTemplate",
                    "template"
                )
                | ("CronJobSpec", "jobTemplate")
                | ("NodeStatus", "daemonEndpoints" | "nodeInfo")
                | ("NodeDaemonEndpoints", "kubeletEndpoint")
                | ("ContainerStatus", "state" | "lastState")
                | ("Event", "source" | "involvedObject")
                | ("Endpoint", "conditions")
                | ("TokenReviewStatus", "user")
        ),
    }
}

/// Times that are written as null when nobody set them.
fn is_nullable_time(message: &str, field: &str) -> bool {
    match field {
        "lastProbeTime" => matches!(message, "PodCondition" | "PersistentVolumeClaimCondition" | "JobCondition"),
        "lastHeartbeatTime" => message == "NodeCondition",
        "lastTransitionTime" => matches!(
            message,
            "PodCondition"
                | "NodeCondition"
                | "Condition"
                | "PersistentVolumeClaimCondition"
                | "JobCondition"
                | "DeploymentCondition"
                | "ReplicaSetCondition"
                | "StatefulSetCondition"
                | "DaemonSetCondition"
                | "ReplicationControllerCondition"
                | "NamespaceCondition"
                | "HorizontalPodAutoscalerCondition"
                | "APIServiceCondition"
                | "CustomResourceDefinitionCondition"
        ),
        "lastUpdateTime" => message == "DeploymentCondition",
        "firstTimestamp" | "lastTimestamp" | "eventTime" | "deprecatedFirstTimestamp" | "deprecatedLastTimestamp" => {
            message == "Event"
        }
        "startedAt" => matches!(message, "ContainerStateRunning" | "ContainerStateTerminated"),
        "finishedAt" => message == "ContainerStateTerminated",
        _ => false,
    }
}

/// Optional strings that tell empty from absent.
fn is_string_pointer(message: &str, field: &str) -> bool {
    match field {
        "storageClassName" => message == "PersistentVolumeClaimSpec",
        "type" => message == "HostPathVolumeSource" || message == "SeccompProfile",
        "name" => message == "EndpointPort",
        "path" => message == "WebhookClientConfig" || message == "HTTPIngressPath" || message == "ServiceReference",
        "namespace" => message == "ParametersReference" || message == "IngressClassParametersReference",
        "ingressClassName"
        | "runtimeClassName"
        | "appProtocol"
        | "loadBalancerClass"
        | "holderIdentity"
        | "preferredHolder"
        | "strategy"
        | "volumeAttributesClassName"
        | "preemptionPolicy"
        | "procMount"
        | "mountPropagation"
        | "ipFamilyPolicy"
        | "internalTrafficPolicy"
        | "volumeMode"
        | "completionMode"
        | "podReplacementPolicy"
        | "managedBy"
        | "timeZone"
        | "apiGroup"
        | "dataSourceRef"
        | "nodeName"
        | "zone"
        | "service"
        | "setHostnameAsFQDN"
        | "protocol"
        | "containerName"
        | "hostnameOverride"
        | "gmsaCredentialSpecName"
        | "gmsaCredentialSpec"
        | "runAsUserName"
        | "resourceClaimName"
        | "resourceClaimTemplateName"
        | "selectPolicy" => !matches!(
            (message, field),
            ("PodSpec" | "Binding" | "NodeSelectorTerm", "nodeName")
                | ("RoleRef" | "Subject", "apiGroup")
                | ("ServicePort" | "ContainerPort", "protocol")
        ),
        _ => false,
    }
}

/// Optional flags whose `false` is the same as absence.
fn is_plain_bool(message: &str, field: &str) -> bool {
    match field {
        "readOnly"
        | "hostNetwork"
        | "hostPID"
        | "hostIPC"
        | "stdin"
        | "stdinOnce"
        | "tty"
        | "paused"
        | "unschedulable"
        | "publishNotReadyAddresses"
        | "privateKey"
        | "readonly"
        | "denied"
        | "authenticated"
        | "incomplete"
        | "deprecated"
        | "nullable"
        | "exclusiveMinimum"
        | "exclusiveMaximum"
        | "uniqueItems"
        | "x-kubernetes-embedded-resource"
        | "x-kubernetes-int-or-string"
        | "insecureSkipTLSVerify"
        | "globalDefault"
        | "namespaced"
        | "continue" => true,
        "blockOwnerDeletion" | "controller" => false,
        "preserveUnknownFields" => message == "CustomResourceDefinitionSpec",
        _ => false,
    }
}

/// Optional numbers whose zero is the same as absence.
fn is_plain_int(message: &str, field: &str) -> bool {
    if message.ends_with("Status") {
        return !matches!(
            field,
            "ready" | "terminating" | "terminatingReplicas" | "collisionCount" | "currentReplicas" | "code"
        ) || matches!((message, field), ("StatefulSetStatus", "currentReplicas"));
    }
    match field {
        "minReadySeconds"
        | "initialDelaySeconds"
        | "timeoutSeconds"
        | "periodSeconds"
        | "successThreshold"
        | "failureThreshold"
        | "hostPort"
        | "nodePort"
        | "healthCheckNodePort"
        | "generation"
        | "count"
        | "observedGeneration"
        | "partition"
        | "groupPriorityMinimum" => !matches!(
            (message, field),
            (
                "ListOptions" | "DeviceClaim" | "ClientIPConfig" | "ValidatingWebhook" | "MutatingWebhook",
                "timeoutSeconds"
            ) | ("RollingUpdateStatefulSetStrategy", "partition")
                | ("AWSElasticBlockStoreVolumeSource", _)
        ),
        "number" => message == "ServiceBackendPort",
        "signal" => message == "ContainerStateTerminated",
        "code" => message == "Status",
        "retryAfterSeconds" => message == "StatusDetails",
        _ => false,
    }
}
