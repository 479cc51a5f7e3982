//! kubectl's commands that move pods: set, scale, rollout, run, expose, drain and the ways to delete.

use super::kubectl::{says, says_to};
use crate::cluster::Cluster;
use crate::wait;

#[test]
fn kubectl_moves_pods() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["hello-http:v1", "hello-http:v2"] {
        cluster.push("hello-http", image);
    }
    a_deployment_is_waited_for(&cluster);
    setting_parts_of_the_template_makes_revisions(&cluster);
    a_rollout_is_paused_resumed_restarted_and_undone(&cluster);
    scaling_and_exposing_go_by_name(&cluster);
    a_pod_runs_by_itself(&cluster);
    a_node_is_tainted_drained_and_taken_back(&cluster);
    dependents_go_as_the_cascade_says(&cluster);
}

fn settled(cluster: &Cluster) {
    says(cluster, "rollout status deploy/web --timeout=60s", &["successfully rolled out"]);
}

fn a_deployment_is_waited_for(cluster: &Cluster) {
    says(cluster, "create deploy web --image=hello-http:v1 --replicas=2 --port=80", &["deployment.apps/web created"]);
    settled(cluster);
    says(cluster, "wait --for=condition=Available deploy/web --timeout=60s", &["deployment.apps/web condition met"]);
    says(cluster, "wait --for=jsonpath={.status.readyReplicas}=2 deploy/web --timeout=60s", &["condition met"]);
    says(cluster, "wait --for=condition=Absent deploy/web --timeout=1s", &["timed out waiting for the condition"]);
    says(cluster, "get pods --field-selector=status.phase=Running -l app=web", &["1/1     Running   0"]);
    says(cluster, "events --for deploy/web", &["ScalingReplicaSet", "Scaled up replica set web-"]);
    says(cluster, "get events --field-selector=reason=Scheduled", &["Successfully assigned default/web-"]);
}

fn setting_parts_of_the_template_makes_revisions(cluster: &Cluster) {
    says(cluster, "set image deploy/web hello-http=hello-http:v2", &["deployment.apps/web image updated"]);
    says(cluster, "set env deploy/web COLOR=blue", &["deployment.apps/web env updated"]);
    says(cluster, "set env deploy/web --list", &["# Deployment web, container hello-http\nCOLOR=blue"]);
    says(cluster, "set resources deploy/web --requests=cpu=10m,memory=16Mi", &["resource requirements updated"]);
    settled(cluster);
    let requests = "jsonpath={.spec.template.spec.containers[0].resources.requests}";
    assert_eq!(cluster.ask(&["get", "deploy", "web", "-o", requests]), r#"{"cpu":"10m","memory":"16Mi"}"#);
    says(cluster, "rollout history deploy/web --revision=2", &["with revision #2", "hello-http:v2", "<none>"]);
    says(cluster, "rollout history deploy/web", &["1         <none>\n", "4         <none>\n"]);
}

fn a_rollout_is_paused_resumed_restarted_and_undone(cluster: &Cluster) {
    says(cluster, "rollout pause deploy/web", &["deployment.apps/web paused"]);
    says(cluster, "rollout pause deploy/web", &["deployments.apps \"web\" is already paused"]);
    says(cluster, "rollout undo deploy/web", &["cannot rollback a paused deployment"]);
    says(cluster, "rollout resume deploy/web", &["deployment.apps/web resumed"]);
    says(cluster, "rollout restart deploy/web", &["deployment.apps/web restarted"]);
    settled(cluster);
    says(cluster, "rollout undo deploy/web --to-revision=1", &["deployment.apps/web rolled back"]);
    settled(cluster);
    says(cluster, "get deploy web -o wide", &["hello-http:v1"]);
    says(cluster, "rollout undo deploy/web --to-revision=99", &["unable to find specified revision 99 in history"]);
}

fn scaling_and_exposing_go_by_name(cluster: &Cluster) {
    says(cluster, "scale deploy/web --replicas=3", &["deployment.apps/web scaled"]);
    says(cluster, "scale deploy/web --current-replicas=7 --replicas=1", &["Expected replicas to be 7, was 3"]);
    says(cluster, "scale deploy/web --replicas=1", &["deployment.apps/web scaled"]);
    says(cluster, "expose deploy web --port=80", &["service/web exposed"]);
    says(cluster, "expose deploy web --port=80", &["services \"web\" already exists"]);
    says(cluster, "set selector svc/web app=web", &["service/web selector updated"]);
    settled(cluster);
    wait::until("an endpoint", || match cluster.ask(&["get", "endpointslices"]) {
        slices if slices.contains("web-") && slices.contains("10.") => Ok(()),
        slices => Err(slices),
    });
}

fn a_pod_runs_by_itself(cluster: &Cluster) {
    cluster.push("job", "job:v1");
    says(cluster, "run runner --image=hello-http:v1 --port=80 --labels=by=hand", &["pod/runner created"]);
    says(cluster, "wait --for=condition=Ready pod/runner --timeout=60s", &["pod/runner condition met"]);
    says(cluster, "run once --image=job:v1 --restart=Never", &["pod/once created"]);
    says(cluster, "wait --for=jsonpath={.status.phase}=Succeeded pod/once --timeout=60s", &["condition met"]);
    let log = cluster.ask(&["logs", "once"]);
    let last = log.lines().last().unwrap();
    says(cluster, "logs pod/once --tail=1", &[last]);
    says(cluster, "logs once --timestamps --prefix", &["[pod/once/once] 20"]);
    says(cluster, "logs once -c other", &["container other is not valid for pod once"]);
    says(cluster, "get pod once", &["0/1     Completed"]);
}

fn a_node_is_tainted_drained_and_taken_back(cluster: &Cluster) {
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    says(cluster, &format!("taint node {node} k=v:NoSchedule"), &["tainted"]);
    says(cluster, &format!("taint node {node} k=v:NoSchedule"), &["already has k taint(s) with same effect(s)"]);
    says(cluster, &format!("taint node {node} k-"), &["untainted"]);
    says(cluster, &format!("cordon {node}"), &["cordoned"]);
    says(cluster, &format!("cordon {node}"), &["already cordoned"]);
    says(cluster, "get nodes", &["Ready,SchedulingDisabled"]);
    says(cluster, &format!("drain {node}"), &["cannot delete Pods that declare no controller", "default/runner"]);
    says(
        cluster,
        &format!("drain {node} --force --timeout=60s"),
        &["evicting pod default/web-", "pod/runner evicted", "drained"],
    );
    says(cluster, "get pods --field-selector=spec.nodeName=", &["0/1     Pending"]);
    says(cluster, &format!("uncordon {node}"), &["uncordoned"]);
    settled(cluster);
}

fn dependents_go_as_the_cascade_says(cluster: &Cluster) {
    says(cluster, "delete deploy web --cascade=orphan --timeout=60s", &["deployment.apps \"web\" deleted"]);
    says(cluster, "get rs -l app=web -o name", &["replicaset.apps/web-"]);
    says(cluster, "delete rs --all --cascade=foreground --timeout=60s", &["replicaset.apps \"web-"]);
    assert_eq!(cluster.ask(&["get", "pods", "-l", "app=web", "-o", "name"]), "", "foreground waits for dependents");
    says(cluster, "create deploy web --image=hello-http:v1 --replicas=2", &["created"]);
    settled(cluster);
    says(cluster, "delete deploy web --cascade=background", &["deployment.apps \"web\" deleted"]);
    says(cluster, "wait --for=delete pods -l app=web --timeout=60s", &["exit status: 0"]);
    let pod =
        "{apiVersion: v1, kind: Pod, metadata: {name: gone}, spec: {containers: [{name: c, image: 'hello-http:v1'}]}}";
    says_to(cluster, "create -f -", pod, &["pod/gone created"]);
    says(cluster, "delete pod gone --grace-period=0 --force", &["pod \"gone\" force deleted"]);
    says(cluster, "get pod gone", &["pods \"gone\" not found"]);
}
