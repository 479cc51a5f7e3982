//! HTTP containers as their annotations want them, and a guest that asks the API server.

use super::kubectl::says;
use crate::cluster::{Cluster, said};
use crate::{http, wait};

const NODE_PORT: u16 = 30092;

#[test]
fn http_containers_do_as_their_annotations_say() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("crasher-http", "crasher-http:v1");
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{type: NodePort, selector: {{app: web}},
           ports: [{{port: 80, nodePort: {NODE_PORT}}}]}}}}"
    );
    apply(&cluster, &service);
    a_mistake_is_refused_in_words(&cluster);
    an_instance_answers_as_often_as_it_may(&cluster);
    a_trap_is_found_by_its_id(&cluster);
}

fn apply(cluster: &Cluster, manifest: &str) {
    let applied = cluster.apply(manifest);
    assert!(applied.status.success(), "{}", said(&applied));
}

fn pod(name: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}, annotations: {{{annotations}}}}},
           spec: {{containers: [{{name: c, image: 'crasher-http:v1', ports: [{{containerPort: 80}}]}}]}}}}"
    )
}

fn a_mistake_is_refused_in_words(cluster: &Cluster) {
    apply(cluster, &pod("mistaken", "http.coracle.dev/request-timeout: soon"));
    wait::until("the refusal", || {
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting}";
        let waiting = cluster.ask(&["get", "pod", "mistaken", "-o", waiting]);
        let is_told = waiting.contains("CreateContainerConfigError") && waiting.contains("is not a duration");
        if is_told { Ok(()) } else { Err(waiting) }
    });
    says(cluster, "delete pod mistaken --now", &["deleted"]);
}

fn an_instance_answers_as_often_as_it_may(cluster: &Cluster) {
    apply(cluster, &pod("web", "http.coracle.dev/max-instance-reuse-count: '3', http.coracle.dev/request-timeout: 1s"));
    let server = cluster.node_port(NODE_PORT);
    let first = wait::until("an answer", || match http::get(server, "/count") {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(first, "1\n");
    let counts: String = (0..4).map(|_| http::get(server, "/count").unwrap().body).collect();
    assert_eq!(counts, "2\n3\n1\n2\n");
    assert_eq!(http::get(server, "/sleep").unwrap().status, 504);
}

fn a_trap_is_found_by_its_id(cluster: &Cluster) {
    let answer = http::get(cluster.node_port(NODE_PORT), "/panic").unwrap();
    let id = answer.body.trim_end().strip_prefix("the guest failed (request ").and_then(|rest| rest.strip_suffix(')'));
    let id = id.unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(answer.status, 502);
    let line = format!("request {id} failed: wasm `unreachable` instruction executed");
    wait::until("the backtrace", || {
        let log = cluster.ask(&["logs", "web"]);
        if log.contains(&line) && log.contains("::rust_panic\n") { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_guest_reaches_the_api_server_with_its_service_accounts_token() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("toolbox", "toolbox:v1");
    let url = "https://kubernetes.default.svc/api/v1/namespaces/default/pods/asks";
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let robot = "system:serviceaccount:default:default";
    // The token is good for a name, which may not read pods; without it there is none.
    assert_eq!(fetched(&cluster, "asks", &format!("{url}, {token}"), "status 403"), Some(robot.to_owned()));
    assert_eq!(fetched(&cluster, "anonymous", url, "status 40"), Some("system:anonymous".to_owned()));
    // What is open to whoever is somebody.
    let apps = "https://kubernetes.default.svc/apis/apps/v1";
    assert_eq!(fetched(&cluster, "discovers", &format!("{apps}, {token}"), "status 200"), None);
}

/// Who the API server took the pod for, when it refused it. Its log shows `words`.
fn fetched(cluster: &Cluster, name: &str, args: &str, words: &str) -> Option<String> {
    let container = format!("{{name: c, image: 'toolbox:v1', args: [fetch, {args}]}}");
    apply(
        cluster,
        &format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}},
               spec: {{restartPolicy: Never, containers: [{container}]}}}}"
        ),
    );
    let log = wait::until("the answer", || {
        let log = cluster.kubectl(&["logs", name]);
        let text = String::from_utf8_lossy(&log.stdout).into_owned();
        if text.contains(words) { Ok(text) } else { Err(said(&log)) }
    });
    let (_, user) = log.split_once("User \\\"")?;
    Some(user.split_once('\\')?.0.to_owned())
}
