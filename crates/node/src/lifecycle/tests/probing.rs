//! Probes: thresholds, timing, and what they lead to.

use super::rig::{Rig, pod};
use crate::lifecycle::ProbeKind::{Liveness, Readiness, Startup};

fn rig(probes: &str) -> Rig {
    let mut rig = Rig::new(pod(&format!(r#"{{"containers":[{{"name":"a",{probes}}}]}}"#)));
    rig.tick();
    rig.prepared();
    rig.pulled("a");
    rig
}

#[test]
fn a_container_is_ready_when_its_readiness_probe_says_so() {
    let mut rig = rig(r#""readinessProbe":{"tcpSocket":{"port":80},"initialDelaySeconds":3,"periodSeconds":5}"#);
    assert_eq!(rig.started("a"), ["Created", "Started"]);
    assert_eq!(rig.seen("a"), "running");
    assert_eq!(rig.sleep(), ["Readiness a"]);
    assert_eq!(rig.elapsed_s(), 3);
    assert_eq!(rig.wake_s(), None);
    rig.probed("a", Readiness, true);
    assert_eq!(rig.seen("a"), "running ready");
    for _ in 0..2 {
        assert_eq!(rig.sleep(), ["Readiness a"]);
        assert_eq!(rig.probed("a", Readiness, false), ["Unhealthy"]);
        assert_eq!(rig.seen("a"), "running ready");
    }
    rig.sleep();
    rig.probed("a", Readiness, false);
    assert_eq!(rig.elapsed_s(), 18);
    assert_eq!(rig.seen("a"), "running");
    assert_eq!(rig.condition("Ready"), "False ContainersNotReady containers with unready status: [a]");
}

#[test]
fn a_failed_liveness_probe_restarts_the_container_with_its_own_grace() {
    let mut rig = rig(
        r#""livenessProbe":{"httpGet":{"port":80},"periodSeconds":1,"failureThreshold":2,"terminationGracePeriodSeconds":4}"#,
    );
    assert_eq!(rig.started("a"), ["Created", "Started", "Liveness a"]);
    rig.probed("a", Liveness, false);
    rig.sleep();
    assert_eq!(rig.probed("a", Liveness, false), ["Unhealthy", "Killing", "terminate a"]);
    assert_eq!(rig.sleep(), ["kill a"]);
    assert_eq!(rig.elapsed_s(), 5);
    assert_eq!(rig.exit("a", 137), ["pull a"]);
}

#[test]
fn the_other_probes_wait_for_the_startup_probe() {
    let mut rig = rig(r#""startupProbe":{"tcpSocket":{"port":80},"periodSeconds":1,"failureThreshold":30},
           "livenessProbe":{"tcpSocket":{"port":80}},"readinessProbe":{"tcpSocket":{"port":80}}"#);
    assert_eq!(rig.started("a"), ["Created", "Started", "Startup a"]);
    rig.probed("a", Startup, false);
    assert_eq!(rig.container("a").started, Some(false));
    assert_eq!(rig.sleep(), ["Startup a"]);
    assert_eq!(rig.probed("a", Startup, true), ["Liveness a", "Readiness a"]);
    assert_eq!(rig.container("a").started, Some(true));
}

#[test]
fn what_a_probe_says_of_an_earlier_instance_is_ignored() {
    let mut rig = rig(r#""livenessProbe":{"tcpSocket":{"port":80},"failureThreshold":1}"#);
    rig.started("a");
    rig.exit("a", 1);
    rig.run("a");
    let late = crate::lifecycle::Event::Probed {
        container: 0,
        attempt: 0,
        kind: Liveness,
        outcome: crate::lifecycle::Outcome::Failure("late".into()),
    };
    assert!(rig.event(late).is_empty());
    assert_eq!(rig.seen("a"), "running ready");
}

#[test]
fn a_port_may_be_named() {
    let rig =
        rig(r#""ports":[{"name":"web","containerPort":8080}],"readinessProbe":{"httpGet":{"port":"web","path":"ok"}}"#);
    let probe = rig.state.plan.containers[0].readiness.clone().unwrap();
    let crate::lifecycle::ProbeTarget::HttpGet(get) = probe.target else { panic!("an HTTP probe") };
    assert_eq!((get.port, get.path.as_str()), (8080, "/ok"));
}
