//! Bad input gets the answer that Kubernetes gives, and a bad image a reason that names the cause.

use crate::cluster::{Cluster, said};
use crate::wait;

#[test]
fn bad_input_gets_the_answer_that_kubernetes_gives() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for (manifest, words) in REFUSED {
        let out = cluster.kubectl_with_input(&["create", "-f", "-"], manifest);
        assert!(!out.status.success(), "accepted: {manifest}");
        assert!(said(&out).contains(words), "expected {words:?} for {manifest}, got {}", said(&out));
    }
    let selector = said(&cluster.kubectl(&["get", "pods", "-l", "a in (b"]));
    assert!(selector.contains("unable to parse requirement"), "{selector}");
    let field = said(&cluster.kubectl(&["get", "pods", "--field-selector", "spec.color=red"]));
    assert!(field.contains("field label not supported: spec.color"), "{field}");
    an_image_that_is_no_wasm_names_the_cause(&cluster, dir.path());
}

const REFUSED: &[(&str, &str)] = &[
    ("{apiVersion: v1, kind: Gadget, metadata: {name: a}}", "no matches for kind \"Gadget\" in version \"v1\""),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_A_Name}}", "metadata.name: Invalid value: \"Not_A_Name\""),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dada: {}}", "unknown field \"dada\""),
    ("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}", "spec.containers: Required value"),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: many, selector: {}, template: {}}}",
        "replicas",
    ),
    (
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}}",
        "`selector` does not match template `labels`",
    ),
];

fn an_image_that_is_no_wasm_names_the_cause(cluster: &Cluster, dir: &std::path::Path) {
    let file = dir.join("truncated.wasm");
    let wasm = std::fs::read(crate::cluster::workload_file("hello-http")).unwrap();
    std::fs::write(&file, &wasm[..wasm.len() / 2]).unwrap();
    cluster.coracle(&["push", file.to_str().unwrap(), "truncated:v1"]);
    let created = cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: bad}, spec: {containers: [{name: c, image: 'truncated:v1'}]}}",
    );
    assert!(created.status.success(), "{}", said(&created));
    wait::until("the container to wait with a reason", || {
        let path = "jsonpath={.status.containerStatuses[0].state.waiting.message}";
        let message = cluster.ask(&["get", "pod", "bad", "-o", path]);
        if message.contains("truncated") || message.contains("unexpected end") { Ok(()) } else { Err(message) }
    });
}
