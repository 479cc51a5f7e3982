//! What a real server says of the same pods.

use serde_json::{Value, json};

use super::*;

fn said(level: Level, spec: Value) -> String {
    Violations::of(Standard { level, ..Standard::default() }, &json!({}), &spec).to_string()
}

fn container(context: Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": context}]})
}

#[test]
fn baseline_forbids_the_ways_out() {
    let table = [
        (json!({"hostPID": true, "hostIPC": true}), "host namespaces (hostPID=true, hostIPC=true)"),
        (
            container(json!({"capabilities": {"add": ["NET_ADMIN"]}})),
            "non-default capabilities (container \"c\" must not include \"NET_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            json!({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}),
            "hostPort (container \"c\" uses hostPort 80)",
        ),
        (json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}), "hostPath volumes (volume \"h\")"),
        (json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}), "forbidden sysctls (kernel.msgmax)"),
        (
            container(json!({"seLinuxOptions": {"type": "other_t"}})),
            "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"other_t\")",
        ),
        (
            container(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            container(json!({"privileged": true})),
            "privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (container(json!({})), ""),
    ];
    for (spec, text) in table {
        assert_eq!(said(Level::Baseline, spec), text);
    }
}

#[test]
fn restricted_asks_for_more() {
    assert_eq!(
        said(Level::Restricted, container(json!({}))),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let good = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(said(Level::Restricted, container(good.clone())), "");
    let mut root = good.clone();
    root["runAsUser"] = json!(0);
    assert_eq!(said(Level::Restricted, container(root)), "runAsUser=0 (container \"c\" must not set runAsUser=0)");
    let mut path = container(good);
    path["volumes"] = json!([{"name": "h", "hostPath": {"path": "/"}}]);
    assert_eq!(
        said(Level::Restricted, path),
        "restricted volume types (volume \"h\" uses restricted volume type \"hostPath\")"
    );
    assert_eq!(said(Level::Privileged, json!({"hostPID": true})), "");
}

#[test]
fn labels_say_what_is_asked_for() {
    let labels = |enforce: &str, version: &str| json!({"pod-security.kubernetes.io/enforce": enforce, "pod-security.kubernetes.io/enforce-version": version});
    let (asked, errors) = policy(&labels("baseline", "v1.25"));
    assert_eq!((asked.enforce.to_string(), asked.warn, errors.len()), ("baseline:v1.25".to_owned(), asked.enforce, 0));
    let told = |labels: Value| policy(&labels).1.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        told(labels("strict", "v9")),
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: \"v9\": must be \"latest\" or \"v1.x\"",
        ]
    );
    assert_eq!(policy(&labels("strict", "latest")).0.enforce.level, Level::Restricted);
}
