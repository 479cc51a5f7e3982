//! What a real server says to the same objects.

use serde_json::{Value, json};

use super::*;
use crate::kind::Part;
use crate::kinds;

/// The message of the `Status` that the object gets, after defaults; empty when it is valid.
fn said(mut object: Value) -> String {
    let kind = kind_of(&object);
    if kind.namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!("ns");
    }
    kind.default(&mut object);
    kind.prepare_create(&mut object);
    text(&kind.validate(&object))
}

fn kind_of(object: &Value) -> &'static crate::kind::Kind {
    let text = |field: &str| object[field].as_str().expect("apiVersion and kind are given").to_owned();
    kinds::by_api_version(&text("apiVersion"), &text("kind")).expect("a built-in kind")
}

fn text(errors: &[FieldError]) -> String {
    if errors.is_empty() { String::new() } else { aggregate(errors) }
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

fn container(fields: Value) -> Value {
    let mut container = json!({"name": "c", "image": "c"});
    for (name, value) in fields.as_object().into_iter().flatten() {
        container[name] = value.clone();
    }
    pod(json!({"containers": [container]}))
}

#[test]
fn a_valid_object_of_every_kind_is_valid() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
        json!({"apiVersion": "v1", "kind": "Namespace"}),
        json!({"apiVersion": "v1", "kind": "Node", "spec": {"podCIDRs": ["10.244.0.0/24"]}}),
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "v1", "kind": "Endpoints", "subsets": [{"addresses": [{"ip": "10.244.0.1"}], "ports": [{"port": 80}]}]}),
        json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"namespace": "ns"}}),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": selector, "template": template}}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"selector": selector, "template": template}}),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"leaseDurationSeconds": 40}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.0.1"]}]}),
        pod(json!({"containers": [{"name": "c", "image": "c"}]})),
    ];
    for mut object in objects {
        object["metadata"] = json!({"name": "a"});
        assert_eq!(said(object.clone()), "", "{object}");
    }
}

#[test]
fn containers_are_told_what_is_wrong_with_them() {
    let table = [
        (json!({"image": ""}), "spec.containers[0].image: Required value"),
        (
            json!({"image": " a "}),
            "spec.containers[0].image: Invalid value: \" a \": must not have leading or trailing whitespace",
        ),
        (
            json!({"imagePullPolicy": "Sometimes"}),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            json!({"ports": [{"containerPort": 65536}]}),
            "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"env": [{"name": "a=b"}]}),
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
        (json!({"livenessProbe": {}}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        (
            json!({"volumeMounts": [{"name": "none", "mountPath": "/a"}]}),
            "spec.containers[0].volumeMounts[0].name: Not found: \"none\"",
        ),
        (
            json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
    ];
    for (fields, message) in table {
        assert_eq!(said(container(fields)), message);
    }
}

#[test]
fn a_workload_selects_the_pods_that_it_makes() {
    let deployment = |labels: Value, selector: Value| {
        said(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": selector,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "c"}]}}}}),
        )
    };
    assert_eq!(
        deployment(json!({"app": "other"}), json!({"matchLabels": {"app": "a"}})),
        "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
    );
    assert_eq!(
        deployment(
            json!({"app": "a"}),
            json!({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "app", "operator": "In"}]})
        ),
        "[spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\"},\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\"}]}: invalid label selector]"
    );
}

#[test]
fn a_running_pod_changes_only_where_it_may() {
    let kind = kind_of(&pod(json!({})));
    let mut old = container(json!({}));
    old["metadata"]["namespace"] = json!("ns");
    kind.default(&mut old);
    kind.prepare_create(&mut old);
    let change = |edit: fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new);
        kind.prepare_update(&mut new, &old, Part::Object);
        text(&kind.validate_update(&new, &old, Part::Object))
    };
    assert_eq!(change(|pod| pod["spec"]["containers"][0]["image"] = json!("other")), "");
    assert_eq!(change(|pod| pod["spec"]["tolerations"] = json!([{"operator": "Exists"}])), "");
    assert!(
        change(|pod| pod["spec"]["hostname"] = json!("h")).starts_with("spec: Forbidden: pod updates may not change")
    );
    assert!(change(|pod| pod["spec"]["containers"] = json!([])).contains("may not add or remove containers"));
    assert_eq!(
        change(|pod| pod["metadata"]["name"] = json!("q")),
        "metadata.name: Invalid value: \"q\": field is immutable"
    );
}

#[test]
fn an_immutable_config_map_stays_as_it_is() {
    let old = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ns"}, "data": {"a": "b"}, "immutable": true});
    let mut new = old.clone();
    new["data"]["a"] = json!("c");
    let errors = kind_of(&old).validate_update(&new, &old, Part::Object);
    assert_eq!(text(&errors), "data: Forbidden: field is immutable when `immutable` is set");
}

#[test]
fn pods_are_told_what_is_wrong_with_them() {
    let with = |fields: Value| {
        let mut pod = container(json!({}));
        pod["spec"].as_object_mut().expect("a spec").extend(fields.as_object().expect("fields").clone());
        said(pod)
    };
    let table = [
        (
            json!({"tolerations": [{"operator": "Exists", "value": "v"}]}),
            r#"spec.tolerations[0].operator: Invalid value: {"Key":"","Operator":"Exists","Value":"v","Effect":"","TolerationSeconds":null}: value must be empty when `operator` is 'Exists'"#,
        ),
        (
            json!({"resourceClaims": [{"name": "a"}]}),
            r#"spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"#,
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "Bad"}]}}),
            r#"spec.securityContext.sysctls[0].name: Invalid value: "Bad": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"#,
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Localhost"}}}),
            "spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
        ),
        (
            json!({"os": {"name": "windows"}, "hostPID": true}),
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
        ),
        (json!({"hostUsers": false, "hostNetwork": true}), "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
        (
            json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 2, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            r#"spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}""#,
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z", "namespaces": ["Bad"]}]}}}),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: Invalid value: \"Bad\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
    ];
    for (fields, message) in table {
        assert_eq!(with(fields), message);
    }
}

#[test]
fn containers_have_hooks_and_policies_that_fit() {
    let table = [
        (
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
        ),
        (
            json!({"securityContext": {"procMount": "Unmasked"}}),
            r#"spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`"#,
        ),
        (
            json!({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]}),
            r#"spec.containers[0].resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory""#,
        ),
    ];
    for (fields, message) in table {
        assert_eq!(said(container(fields)), message);
    }
}

#[test]
fn annotations_of_pods_are_looked_at() {
    let with = |key: &str, value: &str| {
        let mut pod = container(json!({}));
        pod["metadata"]["annotations"] = json!({key: value});
        said(pod)
    };
    assert_eq!(
        with("controller.kubernetes.io/pod-deletion-cost", "+1"),
        "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer"
    );
    assert_eq!(
        with("kubernetes.io/config.mirror", "x"),
        "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set"
    );
    assert_eq!(with("controller.kubernetes.io/pod-deletion-cost", "-7"), "");
}

#[test]
fn services_have_ports_and_addresses_that_fit_their_type() {
    let service =
        |spec: Value| said(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}));
    let table = [
        (
            json!({"ports": [{"port": 80, "nodePort": 30001}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            json!({"type": "LoadBalancer", "ports": [{"port": 10250}]}),
            "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
        ),
        (
            json!({"clusterIP": "bad", "ports": []}),
            "spec.clusterIPs[0]: Invalid value: \"bad\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
    ];
    for (spec, message) in table {
        assert_eq!(service(spec), message);
    }
}

#[test]
fn a_resize_changes_amounts_and_nothing_else() {
    let kind = kind_of(&pod(json!({})));
    let mut old = container(json!({"resources": {"requests": {"cpu": "1"}}}));
    old["metadata"]["namespace"] = json!("ns");
    kind.default(&mut old);
    kind.prepare_create(&mut old);
    let resize = |edit: fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new["spec"]["containers"][0]);
        kind.prepare_update(&mut new, &old, Part::Resize);
        text(&kind.validate_update(&new, &old, Part::Resize))
    };
    assert_eq!(resize(|container| container["resources"]["requests"]["cpu"] = json!("2")), "");
    assert_eq!(
        resize(|container| container["name"] = json!("other")),
        "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"
    );
    assert!(
        resize(|container| container["resources"] = json!({"requests": {"memory": "1"}}))
            .contains("spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed")
    );
}
