//! kubectl's less common forms of its commands: other ways to create, apply, set, read and delete. No pods run here.

use std::fs;
use std::path::Path;

use base64::Engine as _;

use super::kubectl::{says, says_to};
use crate::cluster::Cluster;

#[test]
fn kubectl_knows_other_ways() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    files_become_configmaps_and_secrets(&cluster, dir.path());
    every_kind_that_create_knows_is_made(&cluster);
    a_kustomization_is_applied_and_deleted(&cluster, dir.path());
    applying_moves_between_client_and_server(&cluster);
    what_a_template_holds_is_set_by_name(&cluster);
    subresources_are_read_and_patched(&cluster);
    objects_are_waited_for(&cluster);
    everything_can_be_described(&cluster);
    fields_are_explained(&cluster);
    resources_are_listed_by_what_they_are(&cluster);
    deleting_can_be_tried_hurried_and_left(&cluster);
}

fn files_become_configmaps_and_secrets(cluster: &Cluster, dir: &Path) {
    fs::write(dir.join("cert"), own(cluster, "client-certificate-data")).unwrap();
    fs::write(dir.join("key"), own(cluster, "client-key-data")).unwrap();
    fs::write(dir.join("env"), "A=1\nB=2\n").unwrap();
    let at = |file: &str| dir.join(file).to_str().unwrap().to_owned();
    let line = format!("create secret tls tls --cert={} --key={}", at("cert"), at("key"));
    says(cluster, &line, &["secret/tls created"]);
    says(cluster, "get secret tls", &["kubernetes.io/tls   2"]);
    says(
        cluster,
        &format!("create secret generic env --from-env-file={} --type=example.com/x", at("env")),
        &["created"],
    );
    assert_eq!(
        cluster.ask(&["get", "secret", "env", "-o", "jsonpath={.type} {.data}"]),
        r#"example.com/x {"A":"MQ==","B":"Mg=="}"#
    );
    says(cluster, &format!("create configmap file --from-file=renamed={}", at("env")), &["configmap/file created"]);
    says(cluster, "get cm file -o yaml", &["  renamed: |\n    A=1\n    B=2\n"]);
    says(cluster, &format!("create configmap bytes --from-file={}", binary(dir)), &["configmap/bytes created"]);
    says(cluster, "get cm bytes -o jsonpath={.binaryData}", &[r#"{"binary":"//79"}"#]);
    let generated = "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: made-}}";
    says_to(cluster, "create -f - -o name", generated, &["configmap/made-"]);
    says_to(
        cluster,
        "create --validate=false -f -",
        "{apiVersion: v1, kind: ConfigMap, a: b}",
        &["name or generateName"],
    );
}

/// What the kubeconfig carries for its user: a pair that fits.
fn own(cluster: &Cluster, field: &str) -> Vec<u8> {
    let path = format!("jsonpath={{.users[0].user.{field}}}");
    let encoded = cluster.ask(&["config", "view", "--raw", "-o", &path]);
    base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
}

fn binary(dir: &Path) -> String {
    let file = dir.join("binary");
    fs::write(&file, [0xff, 0xfe, 0xfd]).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The forms of `create` that send protobuf, for the kinds that there are.
fn every_kind_that_create_knows_is_made(cluster: &Cluster) {
    let there = cluster.ask(&["api-resources", "-o", "name"]);
    for (resource, words, answer) in [
        ("namespaces", "namespace forms", "namespace/forms created"),
        ("deployments.apps", "deployment d -n forms --image=none:v1 --port=80", "deployment.apps/d created"),
        ("services", "service clusterip none -n forms --clusterip=None", "service/none created"),
        ("services", "service nodeport np -n forms --tcp=80:http --node-port=31999", "service/np created"),
        ("services", "service loadbalancer lb -n forms --tcp=80", "service/lb created"),
        ("services", "service externalname en -n forms --external-name=a.b", "service/en created"),
        ("serviceaccounts", "serviceaccount sa -n forms", "serviceaccount/sa created"),
        ("resourcequotas", "quota q -n forms --hard=pods=9,services=9", "resourcequota/q created"),
        ("poddisruptionbudgets.policy", "pdb b -n forms --selector=a=b --min-available=1", "/b created"),
        ("priorityclasses.scheduling.k8s.io", "priorityclass forms --value=5", "/forms created"),
        ("jobs.batch", "job j -n forms --image=none:v1", "job.batch/j created"),
        ("cronjobs.batch", "cronjob c -n forms --image=none:v1 --schedule=@daily", "cronjob.batch/c created"),
        ("ingresses.networking.k8s.io", "ingress i -n forms --rule=a.com/=s:80", "/i created"),
        ("roles.rbac.authorization.k8s.io", "role r -n forms --verb=get --resource=pods", "/r created"),
        ("rolebindings.rbac.authorization.k8s.io", "rolebinding r -n forms --role=r --user=u", "/r created"),
        ("clusterroles.rbac.authorization.k8s.io", "clusterrole forms --verb=get --resource=pods", "/forms created"),
        (
            "clusterrolebindings.rbac.authorization.k8s.io",
            "clusterrolebinding forms --clusterrole=forms --user=u",
            "/forms created",
        ),
    ] {
        if there.lines().any(|known| known == resource) {
            says(cluster, &format!("create {words}"), &[answer]);
            says(cluster, &format!("create {words}"), &["exit status: 1", "already"]);
        }
    }
    says(cluster, "get svc -n forms np -o jsonpath={.spec.ports}", &[r#""nodePort":31999"#, r#""targetPort":"http""#]);
    says(cluster, "get svc -n forms none", &["ClusterIP   None"]);
}

fn a_kustomization_is_applied_and_deleted(cluster: &Cluster, dir: &Path) {
    let dir = dir.join("kustomize");
    fs::create_dir(&dir).unwrap();
    let kustomization = "{namePrefix: k-, resources: [sa.yaml], configMapGenerator: [{name: made, literals: [a=1]}], labels: [{pairs: {by: k}}]}";
    fs::write(dir.join("kustomization.yaml"), kustomization).unwrap();
    fs::write(dir.join("sa.yaml"), "{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa}}").unwrap();
    let dir = dir.to_str().unwrap();
    says(cluster, &format!("apply -k {dir}"), &["serviceaccount/k-sa created", "configmap/k-made-", "created"]);
    says(cluster, &format!("diff -k {dir}"), &["exit status: 0"]);
    says(cluster, &format!("get -k {dir} -o name"), &["configmap/k-made-", "serviceaccount/k-sa"]);
    says(cluster, &format!("delete -k {dir}"), &["configmap \"k-made-", "serviceaccount \"k-sa\" deleted"]);
}

const DEPLOYMENT: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: moved}, spec: {replicas: 0, selector: {matchLabels: {a: b}}, \
    template: {metadata: {labels: {a: b}}, spec: {containers: [{name: one, image: 'i:1', env: [{name: A, value: a}]}, {name: two, image: 'i:1'}]}}}}";

fn applying_moves_between_client_and_server(cluster: &Cluster) {
    says_to(cluster, "apply -f -", DEPLOYMENT, &["deployment.apps/moved created"]);
    let without = DEPLOYMENT.replace(", {name: two, image: 'i:1'}", "");
    says_to(cluster, "apply --server-side -f -", &without, &["deployment.apps/moved serverside-applied"]);
    let names = ["get", "deploy", "moved", "-o", "jsonpath={.spec.template.spec.containers[*].name}"];
    assert_eq!(cluster.ask(&names), "one", "the server takes over what the client applied");
    says_to(cluster, "apply -f -", DEPLOYMENT, &["deployment.apps/moved configured"]);
    assert_eq!(cluster.ask(&names), "one two");
    let reordered = DEPLOYMENT
        .replace("[{name: one", "[{name: two, image: 'i:2'}, {name: one")
        .replace(", {name: two, image: 'i:1'}]", "]");
    says_to(cluster, "apply -f -", &reordered, &["deployment.apps/moved configured"]);
    assert_eq!(cluster.ask(&names), "two one");
    says_to(cluster, "apply -f - --dry-run=server -o jsonpath={.kind}", DEPLOYMENT, &["Deployment"]);
    assert_eq!(cluster.ask(&names), "two one");
}

fn what_a_template_holds_is_set_by_name(cluster: &Cluster) {
    says(cluster, "create sa robot", &["created"]);
    says(cluster, "create cm colors --from-literal=color=red", &["created"]);
    says(cluster, "set serviceaccount deploy/moved robot", &["deployment.apps/moved serviceaccount updated"]);
    says(cluster, "set env deploy/moved -c one --from=configmap/colors", &["deployment.apps/moved env updated"]);
    says(cluster, "set env deploy/moved --list --resolve", &["A=a", "COLOR=red"]);
    says(cluster, "set env deploy/moved A-", &["deployment.apps/moved env updated"]);
    says(cluster, "set image deploy/moved *=i:3", &["deployment.apps/moved image updated"]);
    says(cluster, "set resources deploy/moved -c=two --limits=memory=1Mi", &["resource requirements updated"]);
    let template = cluster.ask(&["get", "deploy", "moved", "-o", "jsonpath={.spec.template.spec}"]);
    for part in [
        r#""serviceAccountName":"robot""#,
        r#"{"name":"COLOR","valueFrom":{"configMapKeyRef":{"key":"color","name":"colors"}}}"#,
        r#""resources":{"limits":{"memory":"1Mi"}}"#,
    ] {
        assert!(template.contains(part), "{part} is missing in {template}");
    }
    assert_eq!(template.matches("\"image\":\"i:3\"").count(), 2, "{template}");
}

fn subresources_are_read_and_patched(cluster: &Cluster) {
    let patch = r#"patch deploy moved --subresource=scale --type=merge -p {"spec":{"replicas":0}}"#;
    says(cluster, patch, &["scale.autoscaling/moved patched"]);
    says(cluster, "get deploy moved --subresource=scale -o jsonpath={.kind}", &["Scale"]);
    says(cluster, "get deploy moved --subresource=status -o jsonpath={.kind}", &["Deployment"]);
    let status = r#"patch ns forms --subresource=status --type=merge -p {"metadata":{"labels":{"a":"b"}}}"#;
    says(cluster, status, &["namespace/forms patched"]);
}

fn objects_are_waited_for(cluster: &Cluster) {
    says(cluster, "wait --for=create cm/colors --timeout=5s", &["configmap/colors condition met"]);
    says(cluster, "wait --for=jsonpath={.data.color} cm/colors --timeout=5s", &["configmap/colors condition met"]);
    says(cluster, "wait --for=delete cm/nothing --timeout=5s", &["exit status: 0"]);
    says(cluster, "get cm colors -o go-template={{.data.color}}", &["red"]);
    says(cluster, "get cm colors -o jsonpath-as-json={.data}", &["[\n    {\n        \"color\": \"red\"\n    }\n]"]);
    says(cluster, "get all -n forms", &["deployment.apps/d", "service/np", "replicaset.apps/d-"]);
    says(cluster, "get cm -A --field-selector=metadata.namespace=forms", &["forms       kube-root-ca.crt   1"]);
}

fn everything_can_be_described(cluster: &Cluster) {
    for (line, words) in [
        ("describe cm colors", "color:\n----\nred\n"),
        ("describe sa robot", "Name:                robot"),
        ("describe ns default", "Status:       Active"),
        ("describe deploy moved", "Selector:               a=b"),
        ("describe rs -n forms", "Controlled By:  Deployment/d"),
        ("describe svc kubernetes", "Endpoints:"),
        ("describe endpoints kubernetes", "Subsets:"),
        ("describe endpointslices kubernetes", "AddressType:  IPv4"),
        ("describe lease -n kube-node-lease", "Holder Identity:"),
        ("describe node", "Allocated resources:"),
    ] {
        says(cluster, line, &["exit status: 0", words]);
    }
}

fn fields_are_explained(cluster: &Cluster) {
    says(
        cluster,
        "explain deployment",
        &[
            "GROUP:      apps\nKIND:       Deployment\nVERSION:    v1",
            "Deployment enables declarative updates for Pods",
        ],
    );
    says(
        cluster,
        "explain deploy.spec.strategy",
        &["FIELD: strategy <DeploymentStrategy>", "The deployment strategy to use"],
    );
    says(cluster, "explain pod.spec.containers.image", &["FIELD: image <string>", "Container image name."]);
    says(
        cluster,
        "explain pod --recursive",
        &["PodSpec", "  containers\t<[]Container> -required-", "livenessProbe\t<Probe>"],
    );
    says(
        cluster,
        "explain deploy.spec --output=plaintext-openapiv2",
        &["RESOURCE: spec <Object>", "Number of desired pods."],
    );
}

fn resources_are_listed_by_what_they_are(cluster: &Cluster) {
    let named = cluster.ask(&["api-resources", "--verbs=list", "-o", "name"]);
    assert!(named.contains("deployments.apps\n") && !named.contains("tokenreviews"), "{named}");
    let global = cluster.ask(&["api-resources", "--namespaced=false"]);
    assert!(global.contains("namespaces ") && !global.contains("configmaps "), "{global}");
    says(
        cluster,
        "api-resources --api-group=apps -o wide",
        &["create,delete,deletecollection,get,list,patch,update,watch"],
    );
    says(cluster, "api-resources --categories=all", &["deployments", "services"]);
    says(cluster, "auth can-i --list", &["*.*", "[*]"]);
    says(cluster, "auth whoami -o jsonpath={.kind}", &["SelfSubjectReview"]);
    says(cluster, "version -o json", &["\"serverVersion\": {", "\"gitVersion\": \"v1.37"]);
    says(cluster, "cluster-info dump", &["\"kind\": \"NodeList\"", "\"kind\": \"EventList\""]);
    says(cluster, "label cm --all set=of", &["configmap/colors labeled", "configmap/file labeled"]);
    says(cluster, "annotate cm -l set=of note=of", &["configmap/colors annotated"]);
}

fn deleting_can_be_tried_hurried_and_left(cluster: &Cluster) {
    says(cluster, "delete cm --all --dry-run=server", &["configmap \"colors\" deleted", "(server dry run)"]);
    says(
        cluster,
        "delete cm/colors sa/robot --now",
        &["configmap \"colors\" deleted", "serviceaccount \"robot\" deleted"],
    );
    says(cluster, "delete deploy moved --wait=false -o name", &["deployment.apps/moved"]);
    says(cluster, "delete cm --field-selector=metadata.name=file", &["configmap \"file\" deleted"]);
    says(cluster, "delete --raw /api/v1/namespaces/default/configmaps/bytes", &["\"status\":\"Success\""]);
    says(cluster, "delete ns forms --timeout=60s", &["namespace \"forms\" deleted"]);
}
