//! What pods write to their claims outlives them and the process, and quotas bound what may be claimed.

use super::kubectl::{says, says_to};
use crate::cluster::Cluster;
use crate::wait;

#[test]
fn data_outlives_its_pods_and_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("toolbox", "toolbox:v1");
    says_to(&cluster, "create -f -", STATEFUL, &["statefulset.apps/db created"]);
    is_ready(&cluster);
    for pod in ["db-0", "db-1"] {
        cluster.ask(&["exec", pod, "--", "toolbox", "write", "/data/note", &format!("from {pod}")]);
    }
    says(&cluster, "delete pod db-0 db-1 --timeout=60s", &["pod \"db-0\" deleted"]);
    is_ready(&cluster);
    notes_are_kept(&cluster);
    says(&cluster, "scale sts/db --replicas=0", &["scaled"]);
    says(&cluster, "wait --for=delete pod/db-0 pod/db-1 --timeout=60s", &["exit status: 0"]);
    says(&cluster, "scale sts/db --replicas=2", &["scaled"]);
    is_ready(&cluster);
    notes_are_kept(&cluster);
    cluster.kill();
    let cluster = Cluster::up(dir.path(), &[]);
    is_ready(&cluster);
    notes_are_kept(&cluster);
    a_claim_grows(&cluster);
    a_claim_in_use_is_kept_until_its_pod_is_gone(&cluster);
    claims_go_with_their_set_where_it_says_so(&cluster);
    a_quota_refuses_what_is_too_much(&cluster);
    assert_eq!(cluster.stop(), Some(0));
}

const STATEFUL: &str = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db}, spec: {replicas: 2,
  serviceName: db, podManagementPolicy: Parallel, selector: {matchLabels: {app: db}},
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce],
    resources: {requests: {storage: 16Mi}}}}],
  template: {metadata: {labels: {app: db}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: c,
    image: 'toolbox:v1', args: [echo, '7'], volumeMounts: [{name: data, mountPath: /data}]}]}}}}";

fn is_ready(cluster: &Cluster) {
    says(cluster, "rollout status sts/db --timeout=60s", &["partitioned roll out complete"]);
    says(cluster, "wait --for=condition=Ready pod/db-0 pod/db-1 --timeout=60s", &["pod/db-1 condition met"]);
}

fn notes_are_kept(cluster: &Cluster) {
    for pod in ["db-0", "db-1"] {
        says(cluster, &format!("exec {pod} -- toolbox read /data/note"), &[&format!("from {pod}")]);
    }
}

fn a_claim_grows(cluster: &Cluster) {
    says(cluster, "get pvc", &["data-db-0   Bound", "16Mi"]);
    says(cluster, r#"patch pvc data-db-0 -p {"spec":{"resources":{"requests":{"storage":"32Mi"}}}}"#, &["patched"]);
    says(
        cluster,
        "wait --for=jsonpath={.status.capacity.storage}=32Mi pvc/data-db-0 --timeout=60s",
        &["condition met"],
    );
    says(
        cluster,
        r#"patch pvc data-db-0 -p {"spec":{"resources":{"requests":{"storage":"8Mi"}}}}"#,
        &["field can not be less than status.capacity"],
    );
    notes_are_kept(cluster);
}

fn a_claim_in_use_is_kept_until_its_pod_is_gone(cluster: &Cluster) {
    says(cluster, "delete pvc data-db-1 --wait=false", &["persistentvolumeclaim \"data-db-1\" deleted"]);
    says(cluster, "get pvc data-db-1", &["Terminating"]);
    notes_are_kept(cluster);
    says(cluster, "scale sts/db --replicas=1", &["scaled"]);
    says(cluster, "wait --for=delete pvc/data-db-1 --timeout=60s", &["exit status: 0"]);
    says(cluster, "delete sts db --timeout=60s", &["deleted"]);
    says(cluster, "delete pvc data-db-0 --timeout=60s", &["deleted"]);
    wait::until("the volumes to be reclaimed", || match cluster.ask(&["get", "pv", "-o", "name"]) {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    });
}

fn claims_go_with_their_set_where_it_says_so(cluster: &Cluster) {
    let retention = "persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}, replicas: 2";
    says_to(cluster, "create -f -", &STATEFUL.replace("replicas: 2", retention), &["statefulset.apps/db created"]);
    is_ready(cluster);
    says(cluster, "scale sts/db --replicas=1", &["scaled"]);
    says(cluster, "wait --for=delete pvc/data-db-1 --timeout=60s", &["exit status: 0"]);
    says(cluster, "get pvc", &["data-db-0   Bound"]);
    says(cluster, "delete sts db --timeout=60s", &["deleted"]);
    says(cluster, "wait --for=delete pvc/data-db-0 --timeout=60s", &["exit status: 0"]);
}

fn a_quota_refuses_what_is_too_much(cluster: &Cluster) {
    says(cluster, "create quota tight --hard=pods=1,requests.storage=20Mi", &["resourcequota/tight created"]);
    says(cluster, "wait --for=jsonpath={.status.hard.pods}=1 quota/tight --timeout=60s", &["condition met"]);
    let claim = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{
               accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 16Mi}}}}}}}}"
        )
    };
    says_to(cluster, "create -f -", &claim("one"), &["persistentvolumeclaim/one created"]);
    let refusal = "exceeded quota: tight, requested: requests.storage=16Mi, used: requests.storage=16Mi, \
                   limited: requests.storage=20Mi";
    says_to(cluster, "create -f -", &claim("two"), &["persistentvolumeclaims \"two\" is forbidden", refusal]);
    says(cluster, "create deploy web --image=toolbox:v1 --replicas=2 -- toolbox echo 7", &["created"]);
    let refused = "exceeded quota: tight, requested: pods=1, used: pods=1, limited: pods=1";
    wait::until("the refusal to be told", || {
        match cluster.ask(&["get", "events", "--field-selector=reason=FailedCreate"]) {
            events if events.contains(refused) => Ok(()),
            events => Err(events),
        }
    });
    says(cluster, "describe deploy web", &["ReplicaFailure   True    FailedCreate"]);
    says(cluster, "describe quota tight", &["pods              1     1", "requests.storage  16Mi  20Mi"]);
    says(cluster, "delete quota tight", &["deleted"]);
    says(cluster, "wait --for=jsonpath={.status.replicas}=2 deploy/web --timeout=60s", &["condition met"]);
}
