//! kubectl's commands that make, read and change objects, and what they print. No pods run here.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::cluster::{Cluster, kubectl, said};

/// What `kubectl` says to a line of arguments without spaces in them, whether it succeeds or not.
pub(super) fn says(cluster: &Cluster, line: &str, words: &[&str]) {
    let args: Vec<&str> = line.split(' ').collect();
    contains(line, &said(&cluster.kubectl(&args)), words);
}

/// The same with a manifest on standard input.
pub(super) fn says_to(cluster: &Cluster, line: &str, manifest: &str, words: &[&str]) {
    let args: Vec<&str> = line.split(' ').collect();
    contains(line, &said(&cluster.kubectl_with_input(&args, manifest)), words);
}

fn contains(line: &str, heard: &str, words: &[&str]) {
    for word in words {
        assert!(heard.contains(word), "kubectl {line}: expected {word:?}, got {heard}");
    }
}

#[test]
fn kubectl_makes_reads_and_changes_objects() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    objects_are_created_from_arguments(&cluster);
    objects_are_read_in_every_form(&cluster);
    a_watch_tells_what_happens(&cluster);
    labels_and_annotations_change(&cluster);
    patches_of_every_type_apply(&cluster);
    apply_creates_changes_and_leaves_alone(&cluster);
    server_side_apply_names_who_owns_what(&cluster);
    apply_prunes_what_is_no_longer_named(&cluster);
    an_editor_changes_what_is_there(&cluster);
    replacing_needs_something_to_replace(&cluster, dir.path());
    deleting_takes_what_is_named_and_nothing_else(&cluster);
    the_server_tells_about_itself(&cluster);
}

fn objects_are_created_from_arguments(cluster: &Cluster) {
    for (line, answer) in [
        ("create namespace story", "namespace/story created"),
        ("create configmap settings --from-literal=color=red", "configmap/settings created"),
        ("create configmap settings --from-literal=color=red", "configmaps \"settings\" already exists"),
        ("create secret generic keys --from-literal=password=s3cret", "secret/keys created"),
        ("create secret docker-registry pull --docker-username=u --docker-password=p", "secret/pull created"),
        ("create serviceaccount robot", "serviceaccount/robot created"),
        ("create deployment none --image=none:v1 --replicas=0", "deployment.apps/none created"),
        ("create service clusterip web --tcp=80:80", "service/web created"),
        ("create service nodeport open --tcp=80:80", "service/open created"),
        ("create service externalname away --external-name=example.com", "service/away created"),
        ("create token robot --duration=5s", "may not specify a duration less than 10 minutes"),
        ("create token nobody", "serviceaccounts \"nobody\" not found"),
        ("create configmap Not_A_Name", "metadata.name: Invalid value: \"Not_A_Name\""),
        ("create configmap late -n nowhere", "namespaces \"nowhere\" not found"),
        ("create configmap dry --dry-run=server", "configmap/dry created (server dry run)"),
        ("get configmap dry", "configmaps \"dry\" not found"),
    ] {
        says(cluster, line, &[answer]);
    }
    let token = cluster.ask(&["create", "token", "robot", "--audience=story", "--duration=20m"]);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
}

fn objects_are_read_in_every_form(cluster: &Cluster) {
    says(cluster, "get cm settings", &["NAME       DATA   AGE\nsettings   1"]);
    says(cluster, "get cm settings -o yaml", &["apiVersion: v1\ndata:\n  color: red\nkind: ConfigMap\n"]);
    says(cluster, "get cm settings -o json", &["\"color\": \"red\""]);
    says(cluster, "get secret keys -o jsonpath={.data.password}", &["czNjcmV0"]);
    says(cluster, "get deploy,sa -o name", &["deployment.apps/none\n", "serviceaccount/robot\n"]);
    says(cluster, "get deploy -o wide", &["CONTAINERS", "IMAGES", "SELECTOR", "none:v1"]);
    says(cluster, "get deploy -o custom-columns=A:.metadata.name,B:.spec.replicas", &["A      B\nnone   0\n"]);
    let sorted = cluster.ask(&["get", "svc", "--sort-by=.metadata.name", "-o", "name"]);
    assert_eq!(sorted, "service/away\nservice/kubernetes\nservice/open\nservice/web\n");
    let chunks = cluster.ask(&["get", "ns", "--chunk-size=1", "-o", "name"]);
    assert_eq!(chunks, cluster.ask(&["get", "ns", "-o", "name"]));
    assert_eq!(
        cluster.ask(&["get", "cm", "--field-selector=metadata.name=settings", "-o", "name"]),
        "configmap/settings\n"
    );
    assert_eq!(
        cluster.ask(&["get", "deploy", "-l", "app in (none),app!=some", "-o", "name"]),
        "deployment.apps/none\n"
    );
    says(cluster, "get deploy -l app=some", &["No resources found in default namespace."]);
    says(cluster, "get deploy --show-labels -L app", &["APP", "LABELS", "app=none"]);
    says(cluster, "get gadgets", &["the server doesn't have a resource type \"gadgets\""]);
    says(cluster, "describe secret keys", &["password:  6 bytes"]);
    says(cluster, "get --raw /api/v1/namespaces/story", &["\"kind\":\"Namespace\"", "\"name\":\"story\""]);
}

fn a_watch_tells_what_happens(cluster: &Cluster) {
    let mut watch = cluster
        .client(&kubectl())
        .args(["get", "cm", "-n", "story", "-w", "--output-watch-events"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(events.by_ref().any(|line| line.contains("kube-root-ca.crt")));
    cluster.ask(&["create", "configmap", "seen", "-n", "story"]);
    cluster.ask(&["label", "configmap", "seen", "-n", "story", "a=b"]);
    cluster.ask(&["delete", "configmap", "seen", "-n", "story"]);
    let told: Vec<String> = events.take(3).collect();
    watch.kill().unwrap();
    watch.wait().unwrap();
    for (line, kind) in told.iter().zip(["ADDED", "MODIFIED", "DELETED"]) {
        assert!(line.starts_with(kind) && line.contains(" seen "), "{told:?}");
    }
}

fn labels_and_annotations_change(cluster: &Cluster) {
    says(cluster, "label cm settings tier=front", &["configmap/settings labeled"]);
    says(cluster, "label cm settings tier=back", &["'tier' already has a value (front), and --overwrite is false"]);
    says(cluster, "label cm settings tier=back --overwrite", &["configmap/settings labeled"]);
    says(cluster, "label cm settings tier-", &["configmap/settings unlabeled"]);
    says(cluster, "label cm settings tier=-", &["invalid label value"]);
    says(cluster, "annotate cm settings note=kept", &["configmap/settings annotated"]);
    says(cluster, "get cm settings -o jsonpath={.metadata.annotations.note}", &["kept"]);
}

fn patches_of_every_type_apply(cluster: &Cluster) {
    says(cluster, r#"patch cm settings -p {"data":{"a":"1"}}"#, &["configmap/settings patched"]);
    says(cluster, r#"patch cm settings -p {"data":{"a":"1"}}"#, &["configmap/settings patched (no change)"]);
    says(cluster, r#"patch cm settings --type=merge -p {"data":{"b":"2","color":null}}"#, &["patched"]);
    says(
        cluster,
        r#"patch cm settings --type=json -p [{"op":"move","from":"/data/a","path":"/data/c"}]"#,
        &["patched"],
    );
    assert_eq!(cluster.ask(&["get", "cm", "settings", "-o", "jsonpath={.data}"]), r#"{"b":"2","c":"1"}"#);
    says(cluster, r#"patch cm settings --type=json -p [{"op":"test","path":"/data/b","value":"9"}]"#, &["is invalid"]);
    says(cluster, r#"patch cm settings -p {"data":{"a":1}}"#, &["cannot convert int64 to string"]);
    says(cluster, r#"patch cm nothing -p {"data":{"a":"1"}}"#, &["configmaps \"nothing\" not found"]);
}

const RED: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: paint, labels: {set: paint}}, data: {color: red}}";
const BLUE: &str =
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: paint, labels: {set: paint}}, data: {color: blue}}";

fn apply_creates_changes_and_leaves_alone(cluster: &Cluster) {
    says_to(cluster, "diff -f -", RED, &["exit status: 1", "+  color: red"]);
    says_to(cluster, "apply -f -", RED, &["configmap/paint created"]);
    says_to(cluster, "apply -f -", RED, &["configmap/paint unchanged"]);
    says_to(cluster, "diff -f -", RED, &["exit status: 0"]);
    says_to(cluster, "diff -f -", BLUE, &["exit status: 1", "-  color: red\n+  color: blue\n"]);
    says_to(cluster, "apply -f -", BLUE, &["configmap/paint configured"]);
    says(cluster, "apply view-last-applied cm/paint", &["color: blue"]);
}

fn server_side_apply_names_who_owns_what(cluster: &Cluster) {
    let made = RED.replace("name: paint", "name: owned");
    let changed = BLUE.replace("name: paint", "name: owned");
    let apply = "apply --server-side -f -";
    says_to(cluster, apply, &made, &["configmap/owned serverside-applied"]);
    let version = ["get", "cm", "owned", "-o", "jsonpath={.metadata.resourceVersion}"];
    let before = cluster.ask(&version);
    says_to(cluster, apply, &made, &["configmap/owned serverside-applied"]);
    assert_eq!(cluster.ask(&version), before, "an apply that changes nothing writes nothing");
    let other = "apply --server-side --field-manager=other -f -";
    says_to(cluster, other, &changed, &["Apply failed with 1 conflict: conflict with \"kubectl\": .data.color"]);
    let forced = "apply --server-side --field-manager=other --force-conflicts -f -";
    says_to(cluster, forced, &changed, &["configmap/owned serverside-applied"]);
    says_to(cluster, apply, &made, &["conflict with \"other\": .data.color"]);
    says_to(cluster, apply, BLUE, &["configmap/paint serverside-applied"]);
    let managers = cluster.ask(&["get", "cm", "paint", "-o", "jsonpath={.metadata.managedFields[*].manager}"]);
    assert_eq!(managers, "kubectl kubectl-last-applied", "what was applied by the client is migrated");
}

fn apply_prunes_what_is_no_longer_named(cluster: &Cluster) {
    let named = |names: &[&str]| -> String {
        let one = |name: &&str| {
            format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, labels: {{set: pruned}}}}}}\n")
        };
        names.iter().map(one).collect()
    };
    says_to(cluster, "apply -f -", &named(&["kept", "dropped"]), &["kept created", "dropped created"]);
    let prune = "apply --prune -l set=pruned --prune-allowlist=core/v1/ConfigMap -f -";
    says_to(cluster, prune, &named(&["kept"]), &["configmap/kept unchanged", "configmap/dropped pruned"]);
}

fn an_editor_changes_what_is_there(cluster: &Cluster) {
    let edit = |script: &str| {
        let mut command = cluster.client(&kubectl());
        said(&command.args(["edit", "cm", "paint"]).env("KUBE_EDITOR", script).output().unwrap())
    };
    contains("edit", &edit("sed -i s/blue/mauve/"), &["configmap/paint edited"]);
    contains("edit", &edit("sed -i s/absent/mauve/"), &["Edit cancelled, no changes made."]);
    says(cluster, "get cm paint -o jsonpath={.data.color}", &["mauve"]);
}

fn replacing_needs_something_to_replace(cluster: &Cluster, dir: &std::path::Path) {
    says_to(cluster, "replace -f -", RED, &["configmap/paint replaced"]);
    let file = dir.join("fresh.yaml");
    std::fs::write(&file, RED.replace("name: paint", "name: fresh")).unwrap();
    let file = file.to_str().unwrap();
    says(cluster, &format!("replace -f {file}"), &["configmaps \"fresh\" not found"]);
    says(cluster, &format!("replace --force -f {file}"), &["configmap/fresh replaced"]);
    let uid = ["get", "cm", "fresh", "-o", "jsonpath={.metadata.uid}"];
    let before = cluster.ask(&uid);
    says(cluster, &format!("replace --force -f {file}"), &["configmap \"fresh\" deleted", "configmap/fresh replaced"]);
    assert_ne!(cluster.ask(&uid), before);
}

fn deleting_takes_what_is_named_and_nothing_else(cluster: &Cluster) {
    says(cluster, "delete cm -l set=pruned", &["configmap \"kept\" deleted"]);
    says(cluster, "delete cm kept", &["configmaps \"kept\" not found"]);
    assert_eq!(cluster.ask(&["delete", "cm", "kept", "--ignore-not-found"]), "");
    says(cluster, "get cm paint fresh -o name", &["configmap/paint\nconfigmap/fresh\n"]);
    says(cluster, "delete secret --all", &["secret \"keys\" deleted", "secret \"pull\" deleted"]);
    says(cluster, "delete ns story --timeout=60s", &["namespace \"story\" deleted"]);
    says(cluster, "get ns story", &["namespaces \"story\" not found"]);
}

fn the_server_tells_about_itself(cluster: &Cluster) {
    says(cluster, "auth whoami", &["kubernetes-admin", "system:masters", "system:authenticated"]);
    says(cluster, "auth can-i create pods", &["yes"]);
    says(cluster, "auth can-i create pods --as=bob", &["no"]);
    says(cluster, "get pods --as=bob", &["pods is forbidden: User \"bob\" cannot list resource \"pods\""]);
    says(
        cluster,
        "api-resources",
        &["configmaps ", " cm ", "deployments ", " deploy ", " apps/v1 ", "statefulsets ", " sts "],
    );
    says(cluster, "api-versions", &["apps/v1\n", "coordination.k8s.io/v1\n", "\nv1\n"]);
    says(cluster, "cluster-info", &["Kubernetes control plane", "is running at", "https://127.0.0.1:"]);
    says(cluster, "version", &["Server Version: v1.37"]);
    says(cluster, "get --raw /readyz?verbose", &["readyz check passed"]);
    says(
        cluster,
        "explain deployment.spec --recursive",
        &["FIELD: spec <DeploymentSpec>", "imagePullPolicy\t<string>"],
    );
    says(cluster, "explain pod.spec.colour", &["field \"colour\" does not exist"]);
}
