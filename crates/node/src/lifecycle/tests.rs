//! Tables of what happens to a pod and what is done about it.

mod ending;
mod probing;
mod reporting;
mod restarting;
mod rig;

use rig::{Rig, pod};

use super::*;

#[test]
fn a_plain_pod_is_prepared_pulled_started_and_ready() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a","image":"hello:v1"}]}"#));
    assert_eq!(rig.tick(), ["prepare"]);
    assert_eq!(rig.seen("a"), "waiting ContainerCreating");
    assert_eq!(rig.prepared(), ["pull a"]);
    assert_eq!(rig.pulled("a"), ["start a#0"]);
    assert_eq!(rig.started("a"), ["Created", "Started"]);
    assert_eq!(rig.seen("a"), "running ready");
    assert_eq!(rig.phase(), "Running");
    assert_eq!(rig.condition("Ready"), "True");
    assert_eq!(rig.wake_s(), None);
}

#[test]
fn init_containers_run_in_order_and_hold_back_the_rest() {
    let mut rig = Rig::new(pod(
        r#"{"initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always"},{"name":"j"}],"containers":[{"name":"a"},{"name":"b"}]}"#,
    ));
    rig.tick();
    assert_eq!(rig.prepared(), ["pull i"]);
    assert_eq!(rig.seen("a"), "waiting PodInitializing");
    assert_eq!(
        rig.condition("Initialized"),
        "False ContainersNotInitialized containers with incomplete status: [i s j]"
    );
    rig.run("i");
    assert_eq!(rig.phase(), "Pending");
    assert_eq!(rig.exit("i", 0), ["pull s"]);
    rig.pulled("s");
    assert_eq!(rig.started("s"), ["Created", "Started", "pull j"]);
    rig.run("j");
    assert_eq!(rig.exit("j", 0), ["pull a", "pull b"]);
    rig.run("a");
    assert_eq!(rig.condition("ContainersReady"), "False ContainersNotReady containers with unready status: [b]");
    assert_eq!(rig.phase(), "Pending");
    rig.run("b");
    assert_eq!(rig.condition("Ready"), "True");
    assert_eq!(rig.seen("i"), "terminated Completed 0 ready");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut rig =
        Rig::new(pod(r#"{"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"a"}]}"#));
    rig.tick();
    rig.prepared();
    rig.run("i");
    assert_eq!(rig.exit("i", 3), ["release"]);
    assert_eq!(rig.phase(), "Failed");
    assert_eq!(rig.seen("a"), "waiting PodInitializing");
}

#[test]
fn a_failed_init_container_is_tried_again_otherwise() {
    let mut rig = Rig::new(pod(r#"{"initContainers":[{"name":"i"}],"containers":[{"name":"a"}]}"#));
    rig.tick();
    rig.prepared();
    rig.run("i");
    assert_eq!(rig.exit("i", 3), ["pull i"]);
    rig.run("i");
    assert_eq!(rig.exit("i", 0), ["pull a"]);
}

#[test]
fn volumes_that_cannot_be_mounted_are_tried_again() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    rig.tick();
    let failed = Event::PrepareFailed { reason: "FailedMount", message: "configmap \"x\" not found".into() };
    assert_eq!(rig.event(failed), ["FailedMount"]);
    assert_eq!(rig.seen("a"), "waiting ContainerCreating configmap \"x\" not found");
    assert_eq!(rig.sleep(), ["prepare"]);
    assert_eq!(rig.prepared(), ["pull a"]);
}

#[test]
fn an_image_that_cannot_be_pulled_backs_off_as_users_know_it() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a","image":"no:v1"}]}"#));
    rig.tick();
    rig.prepared();
    let failed = || Event::PullFailed { container: 0, reason: "ErrImagePull", message: "no:v1: not found".into() };
    assert_eq!(rig.event(failed()), ["Failed", "Failed"]);
    assert_eq!(rig.seen("a"), "waiting ErrImagePull no:v1: not found");
    assert_eq!(rig.sleep(), ["BackOff", "Failed"]);
    assert_eq!(
        rig.seen("a"),
        "waiting ImagePullBackOff Back-off pulling image \"no:v1\": ErrImagePull: no:v1: not found"
    );
    assert_eq!(rig.sleep(), ["pull a"]);
    assert_eq!(rig.elapsed_s(), 10);
    rig.event(failed());
    rig.sleep();
    assert_eq!(rig.sleep(), ["pull a"]);
    assert_eq!(rig.elapsed_s(), 30);
    assert_eq!(rig.phase(), "Pending");
}

#[test]
fn a_missing_config_key_is_named_and_tried_again() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    rig.tick();
    rig.prepared();
    rig.pulled("a");
    let failed = Event::StartFailed {
        container: 0,
        reason: "CreateContainerConfigError",
        message: "couldn't find key k in ConfigMap default/c".into(),
    };
    assert_eq!(rig.event(failed), ["Failed"]);
    assert_eq!(rig.seen("a"), "waiting CreateContainerConfigError couldn't find key k in ConfigMap default/c");
    assert_eq!(rig.sleep(), ["pull a"]);
}

#[test]
fn a_changed_image_restarts_the_container() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a","image":"x:1"}]}"#));
    rig.bring_up();
    let plan = pod(r#"{"containers":[{"name":"a","image":"x:2"}]}"#);
    assert_eq!(rig.change(plan), ["Killing", "terminate a"]);
    assert_eq!(rig.exit("a", 0), ["pull a"]);
    assert_eq!(rig.pulled("a"), ["start a#1"]);
}

#[test]
fn a_container_for_debugging_runs_once_and_nobody_minds() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a","image":"x:1"}]}"#));
    rig.bring_up();
    let debugged = pod(
        r#"{"containers":[{"name":"a","image":"x:1"}],"ephemeralContainers":[{"name":"d","image":"y:1","targetContainerName":"a"}]}"#,
    );
    assert_eq!(rig.change(debugged), ["pull d"]);
    assert_eq!((rig.phase().as_str(), rig.condition("Ready").as_str()), ("Running", "True"));
    rig.run("d");
    let debugger = |rig: &Rig| rig.status().ephemeral_container_statuses.unwrap()[0].state.clone().unwrap();
    assert!(debugger(&rig).running.is_some());
    assert_eq!(rig.exit("d", 1), [""; 0]);
    assert_eq!(debugger(&rig).terminated.unwrap().exit_code, 1);
    assert_eq!((rig.phase().as_str(), rig.condition("Ready").as_str()), ("Running", "True"));
    assert_eq!(rig.tick(), [""; 0]);
}
