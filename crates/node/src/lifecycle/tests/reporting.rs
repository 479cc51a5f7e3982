//! What users see.

use super::rig::{Rig, pod};

#[test]
fn a_readiness_gate_holds_back_the_pod_and_not_its_containers() {
    let spec = r#"{"readinessGates":[{"conditionType":"x/y"}],"containers":[{"name":"a"}]}"#;
    let mut rig = Rig::new(pod(spec));
    rig.bring_up();
    assert_eq!(rig.condition("ContainersReady"), "True");
    assert_eq!(
        rig.condition("Ready"),
        "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"x/y\" does not exist."
    );
    let mut opened = pod(spec);
    opened.status = serde_json::from_str(r#"{"conditions":[{"type":"x/y","status":"True"}]}"#).unwrap();
    rig.change(opened);
    assert_eq!(rig.condition("Ready"), "True");
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"},{"name":"b"}]}"#));
    rig.bring_up();
    let before = rig.status().conditions.unwrap();
    rig.exit("a", 1);
    rig.pass(60);
    let surroundings = crate::lifecycle::Surroundings { pod: &rig.pod, host_addresses: &[], previous: &before };
    let after = crate::lifecycle::status(&rig.state, surroundings, rig.now).conditions.unwrap();
    let same = |kind: &str| {
        let time = |all: &[k8s_openapi::api::core::v1::PodCondition]| {
            all.iter().find(|known| known.type_ == kind).unwrap().last_transition_time.clone()
        };
        time(&before) == time(&after)
    };
    assert!(same("Initialized") && !same("Ready"));
}

#[test]
fn a_running_pods_status_is_complete() {
    let mut rig =
        Rig::new(pod(r#"{"containers":[{"name":"a","image":"hello:v1","resources":{"limits":{"memory":"64Mi"}}}]}"#));
    rig.bring_up();
    let status = serde_json::to_value(rig.status()).unwrap();
    assert_eq!(
        status["containerStatuses"],
        serde_json::json!([{
            "name": "a", "image": "hello:v1", "imageID": "sha256:1", "containerID": "coracle://a",
            "ready": true, "started": true, "restartCount": 0, "lastState": {},
            "state": {"running": {"startedAt": "2027-01-15T08:00:00Z"}},
            "resources": {"limits": {"memory": "64Mi"}},
        }])
    );
    assert_eq!(status["podIPs"], serde_json::json!([{"ip": "10.244.0.2"}]));
    assert_eq!(status["startTime"], "2027-01-15T08:00:00Z");
}
