//! Claims, and what is done for them.

use serde_json::{Value, json};

use super::*;

fn claim(edit: Value) -> PersistentVolumeClaim {
    let mut claim = json!({
        "metadata": {"name": "c", "namespace": "ns", "uid": "u1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"},
        "status": {"phase": "Pending"},
    });
    json_patch::merge(&mut claim, &edit);
    serde_json::from_value(claim).unwrap()
}

fn volume(name: &str, size: &str, edit: Value) -> Arc<PersistentVolume> {
    let mut volume = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": "s"},
        "status": {"phase": "Available"},
    });
    json_patch::merge(&mut volume, &edit);
    Arc::new(serde_json::from_value(volume).unwrap())
}

fn class(provisioner: &str, mode: &str) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": {"name": "s"}, "provisioner": provisioner, "volumeBindingMode": mode, "allowVolumeExpansion": true,
    }))
    .unwrap()
}

fn node(name: &str) -> Arc<Node> {
    let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
    Arc::new(serde_json::from_value(node).unwrap())
}

fn done(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>], class: Option<&StorageClass>) -> String {
    let nodes = [node("n1"), node("n2")];
    match plan(claim, &World { volumes, class, nodes: &nodes }) {
        Plan::Wait(told) => format!("wait: {}", told.reason),
        Plan::Bind(volume) => format!("bind {}", volume.metadata.name.as_deref().unwrap()),
        Plan::Provision(volume) => {
            let affinity = serde_json::to_value(&volume.spec.unwrap().node_affinity).unwrap();
            let nodes = &affinity["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"];
            format!("make {} on {nodes}", volume.metadata.name.unwrap())
        }
        Plan::Delegate(provisioner) => format!("leave to {provisioner}"),
        Plan::Grow(volume) => format!("grow {}", volume.metadata.name.as_deref().unwrap()),
        Plan::Lose(told) => format!("lose: {}", told.reason),
        Plan::Rest => "rest".to_owned(),
    }
}

#[test]
fn the_smallest_volume_that_suits_is_bound() {
    let volumes = [
        volume("large", "5Gi", json!({})),
        volume("small", "500Mi", json!({})),
        volume("right", "2Gi", json!({})),
        volume("other", "1Gi", json!({"spec": {"storageClassName": "t"}})),
        volume("taken", "1Gi", json!({"spec": {"claimRef": {"name": "d", "namespace": "ns"}}})),
    ];
    assert_eq!(done(&claim(json!({})), &volumes, None), "bind right");
    let by_hand = volume("mine", "9Gi", json!({"spec": {"claimRef": {"name": "c", "namespace": "ns"}}}));
    assert_eq!(done(&claim(json!({})), &[volumes[2].clone(), by_hand], None), "bind mine");
}

#[test]
fn a_claim_waits_for_its_pod_where_the_class_says_so() {
    let local = class(PROVISIONER, "WaitForFirstConsumer");
    assert_eq!(done(&claim(json!({})), &[volume("v", "2Gi", json!({}))], Some(&local)), "wait: WaitForFirstConsumer");
    let chosen = claim(json!({"metadata": {"annotations": {SELECTED_NODE: "n2"}}}));
    assert_eq!(done(&chosen, &[], Some(&local)), "make pvc-u1 on [\"n2\"]");
    let immediate = class(PROVISIONER, "Immediate");
    assert_eq!(done(&claim(json!({})), &[], Some(&immediate)), "make pvc-u1 on [\"n1\"]");
}

#[test]
fn what_cannot_be_made_is_told() {
    assert_eq!(done(&claim(json!({})), &[], None), "wait: ProvisioningFailed");
    assert_eq!(done(&claim(json!({"spec": {"storageClassName": ""}})), &[], None), "wait: FailedBinding");
    assert_eq!(
        done(&claim(json!({})), &[], Some(&class("example.com/disk", "Immediate"))),
        "leave to example.com/disk"
    );
    let block = claim(json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(done(&block, &[], Some(&class(PROVISIONER, "Immediate"))), "wait: ProvisioningFailed");
}

#[test]
fn a_bound_claim_keeps_its_volume_or_says_that_it_is_lost() {
    let annotations = json!({BIND_COMPLETED: "yes"});
    let bound = claim(json!({"metadata": {"annotations": annotations}, "spec": {"volumeName": "v"}}));
    let own = json!({"spec": {"claimRef": {"name": "c", "namespace": "ns", "uid": "u1"}}});
    let others = json!({"spec": {"claimRef": {"name": "c", "namespace": "ns", "uid": "u2"}}});
    assert_eq!(done(&bound, &[volume("v", "2Gi", own)], None), "bind v");
    assert_eq!(done(&bound, &[volume("v", "2Gi", others)], None), "lose: ClaimMisbound");
    assert_eq!(done(&bound, &[], None), "lose: ClaimLost");
}

#[test]
fn a_volume_of_ours_grows_with_its_claim() {
    let bound = claim(json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v"}}));
    let small = volume(
        "v",
        "500Mi",
        json!({"metadata": {"annotations": {super::super::PROVISIONED_BY: PROVISIONER}},
        "spec": {"claimRef": {"name": "c", "namespace": "ns", "uid": "u1"}}}),
    );
    assert_eq!(done(&bound, std::slice::from_ref(&small), Some(&class(PROVISIONER, "Immediate"))), "grow v");
    assert_eq!(done(&bound, &[small], None), "bind v");
}
