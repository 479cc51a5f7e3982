//! The rollouts that kubectl follows besides a Deployment's, and a drain that a disruption budget holds up.

use super::kubectl::{says, says_to};
use crate::cluster::Cluster;
use crate::wait;

#[test]
fn sets_roll_out_and_budgets_hold_up_a_drain() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["toolbox:v1", "toolbox:v2"] {
        cluster.push("toolbox", image);
    }
    a_stateful_set_rolls_in_order_and_back(&cluster);
    a_partition_holds_an_update_up(&cluster);
    a_daemon_set_rolls_and_comes_back(&cluster);
    a_deployment_with_a_deadline_says_that_it_is_stuck(&cluster);
    a_pause_holds_changes_back_and_makes_one_of_them(&cluster);
    a_drain_waits_for_the_budget(&cluster);
    a_replication_controller_keeps_its_number(&cluster);
}

const STATEFUL: &str = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {replicas: 2,
  serviceName: db, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'toolbox:v1', args: [echo, '7']}]}}}}";

const DAEMON: &str = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}, spec: {
  selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'toolbox:v1', args: [echo, '7']}]}}}}";

const DEPLOYMENT: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2,
  progressDeadlineSeconds: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}},
  spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'toolbox:v1', args: [echo, '7']}]}}}}";

fn images(cluster: &Cluster, app: &str) -> String {
    let path = "jsonpath={.items[*].spec.containers[0].image}";
    cluster.ask(&["get", "pods", "-l", &format!("app={app}"), "-o", path])
}

fn a_stateful_set_rolls_in_order_and_back(cluster: &Cluster) {
    says_to(cluster, "apply -f -", STATEFUL, &["statefulset.apps/db created"]);
    says(cluster, "rollout status sts/db --timeout=60s", &["partitioned roll out complete"]);
    says(cluster, "get pods -l app=db -o name", &["pod/db-0\npod/db-1\n"]);
    says(cluster, "set image sts/db c=toolbox:v2", &["statefulset.apps/db image updated"]);
    says(
        cluster,
        "rollout status sts/db --timeout=60s",
        &["partitioned roll out complete: 2 new pods have been updated"],
    );
    assert_eq!(images(cluster, "db"), "toolbox:v2 toolbox:v2");
    says(cluster, "rollout history sts/db", &["statefulset.apps/db", "\n1 ", "\n2 "]);
    says(cluster, "rollout history sts/db --revision=1", &["toolbox:v1"]);
    says(cluster, "rollout pause sts/db", &["pausing is not supported"]);
    says(cluster, "rollout undo sts/db", &["statefulset.apps/db rolled back"]);
    says(cluster, "rollout status sts/db --timeout=60s", &["partitioned roll out complete"]);
    assert_eq!(images(cluster, "db"), "toolbox:v1 toolbox:v1");
    says(cluster, "rollout restart sts/db", &["statefulset.apps/db restarted"]);
    says(cluster, "rollout status sts/db --timeout=60s", &["partitioned roll out complete"]);
    says(cluster, "scale sts/db --replicas=3", &["statefulset.apps/db scaled"]);
    says(cluster, "wait --for=jsonpath={.status.readyReplicas}=3 sts/db --timeout=60s", &["condition met"]);
    says(cluster, "scale sts/db --current-replicas=3 --replicas=2", &["statefulset.apps/db scaled"]);
    says(cluster, "wait --for=delete pod/db-2 --timeout=60s", &["exit status: 0"]);
}

fn a_partition_holds_an_update_up(cluster: &Cluster) {
    let partition =
        |n| format!(r#"patch sts db -p {{"spec":{{"updateStrategy":{{"rollingUpdate":{{"partition":{n}}}}}}}}}"#);
    says(cluster, &partition(1), &["statefulset.apps/db patched"]);
    says(cluster, "set image sts/db c=toolbox:v2", &["image updated"]);
    says(
        cluster,
        "rollout status sts/db --timeout=60s",
        &["partitioned roll out complete: 1 new pods have been updated"],
    );
    assert_eq!(images(cluster, "db"), "toolbox:v1 toolbox:v2");
    says(cluster, &partition(0), &["statefulset.apps/db patched"]);
    says(cluster, "wait --for=jsonpath={.status.updatedReplicas}=2 sts/db --timeout=60s", &["condition met"]);
    says(cluster, "delete sts db --timeout=60s", &["statefulset.apps \"db\" deleted"]);
}

fn a_daemon_set_rolls_and_comes_back(cluster: &Cluster) {
    says_to(cluster, "apply -f -", DAEMON, &["daemonset.apps/agent created"]);
    let done = "daemon set \"agent\" successfully rolled out";
    says(cluster, "rollout status ds/agent --timeout=60s", &[done]);
    says(cluster, "set image ds/agent c=toolbox:v2", &["daemonset.apps/agent image updated"]);
    says(cluster, "rollout status ds/agent --timeout=60s", &[done]);
    says(cluster, "rollout history ds/agent", &["daemonset.apps/agent", "\n1 ", "\n2 "]);
    says(cluster, "rollout undo ds/agent --to-revision=1", &["daemonset.apps/agent rolled back"]);
    says(cluster, "rollout status ds/agent --timeout=60s", &[done]);
    says(cluster, "get ds agent -o wide", &["toolbox:v1"]);
    says(cluster, "rollout history ds/agent", &["\n2 ", "\n3 "]);
}

fn a_deployment_with_a_deadline_says_that_it_is_stuck(cluster: &Cluster) {
    says_to(cluster, "apply -f -", DEPLOYMENT, &["deployment.apps/web created"]);
    says(cluster, "rollout status deploy/web --timeout=60s", &["successfully rolled out"]);
    says(cluster, "set image deploy/web c=nowhere:v1", &["image updated"]);
    says(cluster, "rollout status deploy/web --timeout=60s", &["exceeded its progress deadline"]);
    says(cluster, "get deploy web", &["2/2     1            2"]);
    says(cluster, "rollout undo deploy/web", &["rolled back"]);
    says(cluster, "rollout status deploy/web --timeout=60s", &["successfully rolled out"]);
}

fn a_pause_holds_changes_back_and_makes_one_of_them(cluster: &Cluster) {
    let n_sets = || cluster.ask(&["get", "rs", "-l", "app=web", "-o", "name"]).lines().count();
    let before = n_sets();
    says(cluster, "rollout pause deploy/web", &["deployment.apps/web paused"]);
    says(cluster, "set image deploy/web c=toolbox:v2", &["image updated"]);
    says(cluster, "set env deploy/web COLOR=blue", &["env updated"]);
    says(cluster, "rollout status deploy/web --timeout=1s", &["Waiting for deployment \"web\" rollout to finish"]);
    says(cluster, "get deploy web", &["2/2     0            2"]);
    // A paused deployment is scaled all the same.
    says(cluster, "scale deploy/web --replicas=3", &["scaled"]);
    says(cluster, "wait --for=jsonpath={.status.readyReplicas}=3 deploy/web --timeout=60s", &["condition met"]);
    assert_eq!((images(cluster, "web"), n_sets()), ("toolbox:v1 toolbox:v1 toolbox:v1".to_owned(), before));
    says(cluster, "describe deploy web", &["Progressing    Unknown  DeploymentPaused"]);
    says(cluster, "rollout resume deploy/web", &["deployment.apps/web resumed"]);
    says(cluster, "rollout status deploy/web --timeout=60s", &["successfully rolled out"]);
    assert_eq!(n_sets(), before + 1, "two changes were rolled out as one");
    says(cluster, "rollout undo deploy/web", &["rolled back"]);
    says(cluster, "scale deploy/web --replicas=2", &["scaled"]);
    says(cluster, "rollout status deploy/web --timeout=60s", &["successfully rolled out"]);
    says(cluster, "wait --for=jsonpath={.status.replicas}=2 deploy/web --timeout=60s", &["condition met"]);
}

fn a_replication_controller_keeps_its_number(cluster: &Cluster) {
    let manifest = "{apiVersion: v1, kind: ReplicationController, metadata: {name: old}, spec: {replicas: 2,
      template: {metadata: {labels: {app: old}}, spec: {terminationGracePeriodSeconds: 1,
      containers: [{name: c, image: 'toolbox:v1', args: [echo, '7']}]}}}}";
    says_to(cluster, "create -f -", manifest, &["replicationcontroller/old created"]);
    says(cluster, "wait --for=jsonpath={.status.readyReplicas}=2 rc/old --timeout=60s", &["condition met"]);
    says(cluster, "delete pods -l app=old --timeout=60s", &["pod \"old-"]);
    says(cluster, "scale rc/old --replicas=3", &["replicationcontroller/old scaled"]);
    says(cluster, "wait --for=jsonpath={.status.readyReplicas}=3 rc/old --timeout=60s", &["condition met"]);
    says(cluster, "get rc old", &["3         3         3"]);
    // A pod that is made somebody else's is replaced, and left alone.
    let first = cluster.ask(&["get", "pods", "-l", "app=old", "-o", "jsonpath={.items[0].metadata.name}"]);
    says(cluster, &format!("label pod {first} app=mine --overwrite"), &["labeled"]);
    wait::until("another pod in its place", || match cluster.ask(&["get", "pods", "-l", "app=old", "-o", "name"]) {
        names if names.lines().count() == 3 => Ok(()),
        names => Err(names),
    });
    says(cluster, "delete rc old --timeout=60s", &["replicationcontroller \"old\" deleted"]);
    says(cluster, "wait --for=delete pods -l app=old --timeout=60s", &["exit status: 0"]);
    says(cluster, &format!("get pod {first}"), &["1/1     Running"]);
}

fn a_drain_waits_for_the_budget(cluster: &Cluster) {
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    says(cluster, "create pdb web --selector=app=web --min-available=2", &["poddisruptionbudget.policy/web created"]);
    says(cluster, "wait --for=jsonpath={.status.currentHealthy}=2 pdb/web --timeout=60s", &["condition met"]);
    let refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
    let drain = format!("drain {node} --ignore-daemonsets --timeout");
    says(cluster, &format!("{drain}=1s"), &[refusal, "global timeout reached: 1s"]);
    says(cluster, "get pdb web", &["2               N/A               0"]);
    assert_eq!(images(cluster, "web"), "toolbox:v1 toolbox:v1", "nothing was evicted");
    says(cluster, r#"patch pdb web -p {"spec":{"minAvailable":0}}"#, &["patched"]);
    says(cluster, "wait --for=jsonpath={.status.disruptionsAllowed}=2 pdb/web --timeout=60s", &["condition met"]);
    says(cluster, &format!("{drain}=60s"), &["ignoring DaemonSet-managed Pods: default/agent-", "drained"]);
    says(cluster, "get pods -l app=web", &["Pending"]);
    says(cluster, &format!("uncordon {node}"), &["uncordoned"]);
    wait::until("the drained pods to be back", || match cluster.ask(&["get", "deploy", "web"]) {
        line if line.contains("2/2") => Ok(()),
        line => Err(line),
    });
}
