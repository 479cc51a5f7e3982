//! What a real server warns of, for the same objects.

use serde_json::{Value, json};

use crate::kinds;

fn said(api_version: &str, kind: &str, fields: Value) -> Vec<String> {
    let mut object = fields;
    object["metadata"]["name"] = json!("a");
    let kind = kinds::by_api_version(api_version, kind).expect("a built-in kind");
    kind.default(&mut object);
    kind.warnings(&object, None)
}

fn pod(spec: Value) -> Vec<String> {
    said("v1", "Pod", json!({"spec": spec}))
}

fn container(fields: Value) -> Vec<String> {
    let mut container = json!({"name": "c", "image": "c"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    pod(json!({"containers": [container]}))
}

#[test]
fn containers_are_warned_of_what_hides_what() {
    let table = [
        (
            json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            r#"spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply"#,
        ),
        (
            json!({"ports": [{"containerPort": 80, "hostIP": "not-an-ip"}]}),
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:not-an-ip}",
        ),
        (
            json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "name": "b"}]}),
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
        ),
        (
            json!({"ports": [{"containerPort": 80}, {"containerPort": 80, "hostPort": 80}]}),
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
        ),
        (
            json!({"resources": {"limits": {"memory": "500m"}, "requests": {"memory": "0"}}}),
            r#"spec.containers[0].resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer"#,
        ),
    ];
    for (fields, warning) in table {
        assert_eq!(container(fields), [warning]);
    }
    let extended = json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}]});
    assert!(container(extended).is_empty());
}

#[test]
fn pods_are_warned_of_what_means_nothing() {
    let table = [
        (json!({"imagePullSecrets": [{}]}), r#"spec.imagePullSecrets[0].name: invalid empty name """#),
        (
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
        ),
        (
            json!({"volumes": [{"name": "v", "projected": {"sources": [{}]}}]}),
            r#"volume "v" (Projected) has no sources provided"#,
        ),
        (
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "a", "path": "p"}, {"key": "b", "path": "p/q"}]}}]}),
            r#"volume "v" (Secret "s"): overlapping paths: "p/q" with "p""#,
        ),
        (
            json!({"volumes": [{"name": "v", "gitRepo": {"repository": "r"}}]}),
            "spec.volumes[0].gitRepo: deprecated in v1.11",
        ),
        (
            json!({"topologySpreadConstraints": [{"topologyKey": "k"}]}),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ),
    ];
    for (spec, warning) in table {
        assert_eq!(pod(spec), [warning]);
    }
}

#[test]
fn a_template_names_its_own_path() {
    let spec = json!({"template": {"spec": {"terminationGracePeriodSeconds": -1}}});
    assert_eq!(
        said("apps/v1", "Deployment", json!({"spec": spec})),
        [
            "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ]
    );
}

#[test]
fn services_are_warned_of_what_is_ignored() {
    let service = |spec: Value| said("v1", "Service", json!({"spec": spec}));
    assert_eq!(
        service(json!({"externalIPs": ["1.2.3.4"], "trafficDistribution": "PreferClose"})),
        [
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#
        ]
    );
    assert_eq!(
        service(json!({"clusterIP": "None", "externalName": "x.y"})),
        [r#"spec.externalName is ignored when spec.type is not "ExternalName""#]
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]})),
        [
            r#"spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)"#
        ]
    );
}

#[test]
fn a_key_pair_that_is_none_is_told() {
    let secret = |certificate: &str| {
        said("v1", "Secret", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": certificate, "tls.key": ""}}))
    };
    assert_eq!(secret("YQ=="), ["tls: failed to find any PEM data in certificate input"]);
}
