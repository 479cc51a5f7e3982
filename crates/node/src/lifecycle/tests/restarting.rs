//! Restart policies and the crash loop.

use super::rig::{Rig, pod};
use crate::lifecycle::adopt;

fn rig(policy: &str) -> Rig {
    let mut rig = Rig::new(pod(&format!(r#"{{"restartPolicy":"{policy}","containers":[{{"name":"a"}}]}}"#)));
    rig.bring_up();
    rig
}

#[test]
fn a_crash_loop_doubles_its_delay_to_five_minutes() {
    let mut rig = rig("Always");
    assert_eq!(rig.exit("a", 1), ["pull a"]);
    let mut delays = Vec::new();
    for _ in 0..7 {
        rig.run("a");
        let ended = rig.elapsed_s();
        assert_eq!(rig.exit("a", 1), ["BackOff"]);
        assert!(rig.seen("a").starts_with("waiting CrashLoopBackOff back-off "));
        assert_eq!(rig.phase(), "Running");
        assert_eq!(rig.sleep(), ["pull a"]);
        delays.push(rig.elapsed_s() - ended);
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
    rig.run("a");
    assert_eq!(rig.container("a").restart_count, 8);
    rig.pass(601);
    assert_eq!(rig.exit("a", 1), ["pull a"]);
}

#[test]
fn the_back_off_message_is_kubelets() {
    let mut rig = rig("Always");
    rig.exit("a", 0);
    rig.run("a");
    rig.exit("a", 0);
    assert_eq!(rig.seen("a"), "waiting CrashLoopBackOff back-off 10s restarting failed container=a pod=p_default(u)");
    assert_eq!(rig.container("a").last_state.unwrap().terminated.unwrap().reason.unwrap(), "Completed");
}

#[test]
fn on_failure_restarts_failures_only() {
    let mut rig = rig("OnFailure");
    assert_eq!(rig.exit("a", 1), ["pull a"]);
    rig.run("a");
    assert_eq!(rig.exit("a", 0), ["release"]);
    assert_eq!(rig.phase(), "Succeeded");
    assert_eq!(rig.condition("Ready"), "False PodCompleted");
}

#[test]
fn never_means_never() {
    let mut rig = rig("Never");
    assert_eq!(rig.exit("a", 7), ["release"]);
    assert_eq!(rig.phase(), "Failed");
    assert_eq!(rig.seen("a"), "terminated Error 7");
}

#[test]
fn sidecars_end_after_the_main_containers_in_reverse_order() {
    let mut rig = Rig::new(pod(
        r#"{"restartPolicy":"Never","initContainers":[{"name":"s","restartPolicy":"Always"},{"name":"t","restartPolicy":"Always"}],
            "containers":[{"name":"a"}]}"#,
    ));
    rig.bring_up();
    assert_eq!(rig.exit("s", 1), ["pull s"]);
    rig.run("s");
    assert_eq!(rig.exit("a", 0), ["Killing", "terminate t"]);
    assert_eq!(rig.phase(), "Running");
    assert_eq!(rig.exit("t", 0), ["Killing", "terminate s"]);
    assert_eq!(rig.sleep(), ["kill s"]);
    assert_eq!(rig.exit("s", 137), ["release"]);
    assert_eq!(rig.phase(), "Succeeded");
}

#[test]
fn after_a_restart_of_the_node_containers_begin_again() {
    let mut rig = rig("Always");
    rig.pod.status = Some(rig.status());
    rig.state = adopt(&rig.pod, rig.now);
    assert_eq!(rig.seen("a"), "terminated Unknown 255");
    assert_eq!(rig.tick(), ["prepare"]);
    assert_eq!(rig.prepared(), ["pull a"]);
    assert_eq!(rig.pulled("a"), ["start a#1"]);
    rig.started("a");
    assert_eq!(rig.container("a").restart_count, 1);
    assert_eq!(rig.container("a").last_state.unwrap().terminated.unwrap().exit_code, 255);
}

#[test]
fn after_a_restart_of_the_node_a_pod_that_never_restarts_has_failed() {
    let mut rig = rig("Never");
    rig.pod.status = Some(rig.status());
    rig.state = adopt(&rig.pod, rig.now);
    assert_eq!(rig.tick(), ["release"]);
    assert_eq!(rig.phase(), "Failed");
}

#[test]
fn after_a_restart_of_the_node_an_ended_pod_stays_ended() {
    let mut rig = rig("OnFailure");
    rig.exit("a", 0);
    rig.pod.status = Some(rig.status());
    let before = rig.status();
    rig.state = adopt(&rig.pod, rig.now);
    assert_eq!(rig.tick(), ["release"]);
    assert_eq!(rig.status(), before);
    assert_eq!(rig.delete(30), ["remove"]);
}
