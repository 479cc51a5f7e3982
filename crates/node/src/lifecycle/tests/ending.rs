//! Termination: grace, hooks, deadlines, force.

use super::rig::{Rig, pod};
use crate::lifecycle::{Event, HookKind};

fn rig(spec: &str) -> Rig {
    let mut rig = Rig::new(pod(spec));
    rig.bring_up();
    rig
}

#[test]
fn a_deleted_pod_is_asked_then_killed_then_removed() {
    let mut rig = rig(r#"{"containers":[{"name":"a"}]}"#);
    assert_eq!(rig.delete(30), ["Killing", "terminate a"]);
    assert_eq!(rig.phase(), "Running");
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.elapsed_s(), 30);
    assert_eq!(rig.wake_s(), None);
    assert_eq!(rig.exit("a", 137), ["release", "remove"]);
    assert_eq!(rig.phase(), "Failed");
}

#[test]
fn a_pod_that_drains_in_time_has_succeeded() {
    let mut rig = rig(r#"{"containers":[{"name":"a"}]}"#);
    rig.delete(30);
    assert_eq!(rig.exit("a", 0), ["release", "remove"]);
    assert_eq!(rig.phase(), "Succeeded");
}

#[test]
fn a_second_deletion_may_only_shorten_the_grace() {
    let mut rig = rig(r#"{"containers":[{"name":"a"}]}"#);
    rig.delete(30);
    rig.delete(60);
    assert_eq!(rig.wake_s(), Some(30));
    rig.delete(5);
    assert_eq!(rig.wake_s(), Some(5));
    assert_eq!(rig.delete(0), ["kill a"]);
}

#[test]
fn a_sleeping_pre_stop_hook_goes_first_and_counts_against_the_grace() {
    let mut rig = rig(r#"{"containers":[{"name":"a","lifecycle":{"preStop":{"sleep":{"seconds":8}}}}]}"#);
    assert_eq!(rig.delete(10), ["Killing"]);
    assert_eq!(rig.sleep(), ["terminate a"]);
    assert_eq!(rig.elapsed_s(), 8);
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.elapsed_s(), 10);
}

#[test]
fn a_hook_that_takes_all_the_grace_leaves_two_seconds() {
    let mut rig = rig(r#"{"containers":[{"name":"a","lifecycle":{"preStop":{"httpGet":{"port":80}}}}]}"#);
    assert_eq!(rig.delete(10), ["Killing", "hook a"]);
    assert_eq!(rig.sleep(), ["terminate a"]);
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.elapsed_s(), 12);
}

#[test]
fn a_failed_hook_is_told_and_the_end_goes_on() {
    let mut rig = rig(r#"{"containers":[{"name":"a","lifecycle":{"preStop":{"httpGet":{"port":80}}}}]}"#);
    rig.delete(10);
    let ended = Event::HookEnded { container: 0, attempt: 0, kind: HookKind::PreStop, outcome: Err("refused".into()) };
    assert_eq!(rig.event(ended), ["FailedPreStopHook", "terminate a"]);
}

#[test]
fn a_command_is_run_before_the_end() {
    let mut rig = rig(r#"{"containers":[{"name":"a","lifecycle":{"preStop":{"exec":{"command":["x"]}}}}]}"#);
    assert_eq!(rig.delete(10), ["Killing", "hook a"]);
    let ended = Event::HookEnded { container: 0, attempt: 0, kind: HookKind::PreStop, outcome: Ok(()) };
    assert_eq!(rig.event(ended), ["terminate a"]);
}

#[test]
fn a_pod_deleted_before_it_ran_goes_at_once() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    rig.tick();
    assert!(rig.delete(30).is_empty());
    assert_eq!(rig.prepared(), ["release", "remove"]);
    assert_eq!(rig.phase(), "Failed");
}

#[test]
fn a_pod_deleted_while_it_pulls_does_not_wait_for_the_image() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    rig.tick();
    rig.prepared();
    assert_eq!(rig.delete(30), ["release", "remove"]);
    assert!(rig.pulled("a").is_empty());
}

#[test]
fn a_container_that_starts_during_the_end_is_stopped() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    rig.tick();
    rig.prepared();
    rig.pulled("a");
    assert!(rig.delete(30).is_empty());
    assert_eq!(rig.started("a"), ["Created", "Started", "Killing", "terminate a"]);
}

#[test]
fn a_pod_in_a_crash_loop_goes_at_once() {
    let mut rig = rig(r#"{"containers":[{"name":"a"}]}"#);
    rig.exit("a", 1);
    rig.run("a");
    rig.exit("a", 1);
    assert_eq!(rig.delete(30), ["release", "remove"]);
    assert_eq!(rig.seen("a"), "terminated Error 1");
}

#[test]
fn a_pod_that_vanished_is_ended_quickly() {
    let mut rig = rig(r#"{"containers":[{"name":"a"}]}"#);
    assert_eq!(rig.event(Event::Vanished), ["Killing", "terminate a"]);
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.elapsed_s(), 2);
    assert_eq!(rig.exit("a", 137), ["release", "remove"]);
}

#[test]
fn a_pod_past_its_deadline_fails() {
    let mut rig = rig(r#"{"activeDeadlineSeconds":20,"terminationGracePeriodSeconds":5,"containers":[{"name":"a"}]}"#);
    assert_eq!(rig.sleep(), ["DeadlineExceeded", "Killing", "terminate a"]);
    assert_eq!(rig.elapsed_s(), 20);
    assert_eq!(rig.phase(), "Running");
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.exit("a", 0), ["release"]);
    assert_eq!(rig.phase(), "Failed");
    assert_eq!(rig.status().reason.unwrap(), "DeadlineExceeded");
}

#[test]
fn a_rejected_pod_runs_nothing() {
    let mut rig = Rig::new(pod(r#"{"containers":[{"name":"a"}]}"#));
    let rejected = Event::Rejected { reason: "OutOfpods", message: "too many".into() };
    assert_eq!(rig.event(rejected), ["OutOfpods", "release"]);
    assert_eq!(rig.phase(), "Failed");
    assert_eq!(rig.delete(0), ["remove"]);
}
