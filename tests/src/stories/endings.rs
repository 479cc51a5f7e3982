//! How containers end, and what they took, as a user learns it with real kubectl.

use std::time::{Duration, Instant};

use super::kubectl::says;
use crate::cluster::Cluster;
use crate::wait;

/// A pod that spins has two seconds to end; its usual grace would be thirty.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn what_ended_a_container_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["hog", "crasher"] {
        cluster.push(image, &format!("{image}:v1"));
    }
    memory_has_a_limit(&cluster);
    a_trap_leaves_its_backtrace(&cluster);
    what_pods_take_is_shown_and_spinning_is_no_shelter(&cluster);
}

fn memory_has_a_limit(cluster: &Cluster) {
    let limited = r#"{"spec":{"containers":[{"name":"oom","image":"hog:v1","args":["memory","200"],"resources":{"limits":{"memory":"32Mi"}}}]}}"#;
    says(cluster, &format!("run oom --image=hog:v1 --restart=Never --overrides={limited}"), &["pod/oom created"]);
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/oom --timeout=60s", &["condition met"]);
    says(cluster, "get pod oom", &["OOMKilled"]);
    says(cluster, "describe pod oom", &["Reason:       OOMKilled", "Exit Code:    137"]);
}

fn a_trap_leaves_its_backtrace(cluster: &Cluster) {
    says(cluster, "run trap --image=crasher:v1 -- trap", &["pod/trap created"]);
    let restarted = "{.status.containerStatuses[0].restartCount}";
    wait::until("a restart", || match cluster.ask(&["get", "pod", "trap", "-o", &format!("jsonpath={restarted}")]) {
        count if count.parse::<u32>().is_ok_and(|count| count > 0) => Ok(()),
        other => Err(other),
    });
    says(cluster, "logs trap -p", &["about to trap", "give_up"]);
    says(cluster, "describe pod trap", &["Last State:", "unreachable", "give_up"]);
}

fn what_pods_take_is_shown_and_spinning_is_no_shelter(cluster: &Cluster) {
    says(cluster, "run spin --image=hog:v1 -- both 24", &["pod/spin created"]);
    says(cluster, "wait --for=condition=Ready pod/spin --timeout=60s", &["condition met"]);
    wait::until("kubectl top to show the pod at work", || {
        let top = cluster.kubectl(&["top", "pod", "spin", "--containers", "--no-headers"]);
        let text = String::from_utf8_lossy(&top.stdout).into_owned() + &String::from_utf8_lossy(&top.stderr);
        let columns: Vec<&str> = text.split_whitespace().collect();
        match columns[..] {
            ["spin", "spin", cpu, memory] if amount(cpu, "m") >= 50 && amount(memory, "Mi") >= 24 => Ok(()),
            _ => Err(text),
        }
    });
    says(cluster, "top nodes", &["CPU(cores)", "MEMORY(%)"]);
    let began = Instant::now();
    cluster.ask(&["delete", "pod", "spin", "--grace-period=2"]);
    assert!(began.elapsed() < ENDED_WITHIN, "it took {:?}", began.elapsed());
}

fn amount(text: &str, unit: &str) -> u64 {
    text.strip_suffix(unit).and_then(|number| number.parse().ok()).unwrap_or(0)
}
