//! Which zero values JSON keeps: Go writes a structure that is part of its parent, and drops what `omitempty` names.

use super::{Presence, Scalar, TypeRef, facts::PARTS};

pub(super) fn presence(message: &str, field: &str, ty: &TypeRef, required: bool) -> Presence {
    match ty {
        TypeRef::Message(_) if is_value(message, field) => Presence::Always,
        TypeRef::Message(_) => Presence::Kept,
        TypeRef::Scalar(Scalar::Time | Scalar::MicroTime) if is_nullable_time(message, field) => Presence::Always,
        TypeRef::Scalar(_) if required && is_pointer_all_the_same(message, field) => Presence::Kept,
        TypeRef::Scalar(_) if required || is_always_written(message, field) => Presence::Always,
        TypeRef::Scalar(Scalar::String) if is_string_pointer(message, field) => Presence::Kept,
        TypeRef::Scalar(Scalar::String) => Presence::Omitted,
        TypeRef::Scalar(Scalar::Bool) if is_plain_bool(message, field) => Presence::Omitted,
        TypeRef::Scalar(Scalar::Int32 | Scalar::Int64) if is_plain_int(message, field) => Presence::Omitted,
        TypeRef::List(_) | TypeRef::Map(_) if required || is_null_list(message, field) => Presence::Kept,
        // An empty list of owners is a wish: to have them forgotten.
        TypeRef::List(_) if (message, field) == ("ObjectMeta", "managedFields") => Presence::Kept,
        TypeRef::List(_) | TypeRef::Map(_) => Presence::Omitted,
        TypeRef::Scalar(_) | TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => Presence::Kept,
    }
}

/// Lists that are written as null when nobody gave them.
pub(super) fn is_null_list(message: &str, field: &str) -> bool {
    matches!(
        (message, field),
        ("Role" | "ClusterRole", "rules")
            | ("EndpointSlice", "endpoints" | "ports")
            | ("LimitRangeSpec", "limits")
            | ("HorizontalPodAutoscalerStatus", "currentMetrics")
            | ("CustomResourceDefinitionStatus", "conditions" | "storedVersions")
    )
}

/// Required in OpenAPI, and yet absent where nobody gave them.
fn is_pointer_all_the_same(message: &str, field: &str) -> bool {
    matches!(
        (message, field),
        ("MutatingWebhook" | "ValidatingWebhook", "sideEffects")
            | ("HTTPIngressPath", "pathType")
            | ("EndpointPort", "port")
    )
}

/// Not required in OpenAPI, and yet written when they are empty.
fn is_always_written(message: &str, field: &str) -> bool {
    match field {
        "type" | "status" => matches!(
            message,
            "DaemonSetCondition"
                | "DeploymentCondition"
                | "ReplicaSetCondition"
                | "StatefulSetCondition"
                | "HorizontalPodAutoscalerCondition"
        ),
        "currentHealthy" | "desiredHealthy" | "disruptionsAllowed" | "expectedPods" => {
            message == "PodDisruptionBudgetStatus"
        }
        "currentReplicas" => message == "HorizontalPodAutoscalerStatus",
        _ => matches!(
            (message, field),
            ("StatefulSetSpec", "serviceName")
                | ("StatefulSetStatus", "availableReplicas")
                | ("Event", "reportingComponent" | "reportingInstance")
                | ("PriorityClass", "value")
                | ("ControllerRevision", "revision")
                | ("RoleRef", "apiGroup")
        ),
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
                | ("MutatingWebhook" | "ValidatingWebhook", "clientConfig")
                | ("NetworkPolicySpec", "podSelector")
                | ("Binding", "target")
                | ("RoleBinding" | "ClusterRoleBinding", "roleRef")
                | ("HTTPIngressPath", "backend")
                | ("HorizontalPodAutoscalerSpec", "scaleTargetRef")
                | ("WeightedPodAffinityTerm", "podAffinityTerm")
                | ("PreferredSchedulingTerm", "preference")
                | ("SelfSubjectReviewStatus", "userInfo")
                | ("VolumeAttachmentSpec", "source")
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
        "chapAuthDiscovery" | "chapAuthSession" | "sslEnabled" => true,
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
        "replicas" => message == "ScaleSpec",
        "sizeBytes" => message == "ContainerImage",
        "signal" => message == "ContainerStateTerminated",
        "code" => message == "Status",
        "retryAfterSeconds" => message == "StatusDetails",
        _ => false,
    }
}
