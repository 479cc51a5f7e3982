//! Guests that behave badly, how each of them ends, and what is left to be looked at, with real kubectl.

use std::time::{Duration, Instant};

use super::kubectl::says;
use crate::cluster::{Cluster, said};
use crate::wait;

/// A second of grace, two that every container has at least, and time for a busy machine. The usual grace is thirty.
const ENDED_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of a container's log on disk: five files of 10 MiB, the last of which may be passed by one batch.
const LOG_BYTES_MAX: u64 = 52 << 20;

#[test]
fn a_guest_that_behaves_badly_ends_as_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("adversary", "adversary:v1");
    cluster.push("crasher-http", "crasher-http:v1");
    no_state_outlives_its_grace(&cluster);
    a_log_has_bounds_and_is_cut_as_asked(&cluster, dir.path());
    who_fills_the_disk_is_evicted(&cluster);
    last_words_and_a_core_dump_are_left(&cluster);
    servers_and_isolated_guests_leave_core_dumps_too(&cluster);
    what_is_used_is_told(&cluster);
}

fn run(cluster: &Cluster, name: &str, args: &str, more: &str) {
    let manifest = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{
           restartPolicy: Never, terminationGracePeriodSeconds: 1, volumes: [{{name: v, emptyDir: {{}}}}],
           containers: [{{name: c, image: 'adversary:v1', args: {args}, volumeMounts: [{{name: v, mountPath: /data}}]{more}}}]}}}}"
    );
    let applied = cluster.apply(&manifest);
    assert!(applied.status.success(), "{}", said(&applied));
}

fn logged(cluster: &Cluster, name: &str, words: &str) {
    wait::until(&format!("{name} to say {words:?}"), || {
        let log = said(&cluster.kubectl(&["logs", name]));
        if log.contains(words) { Ok(()) } else { Err(log) }
    });
}

fn no_state_outlives_its_grace(cluster: &Cluster) {
    for (name, args, words) in [
        ("spins", "[spin]", "spinning"),
        ("accepts", "[accept, '80']", "waiting on 80"),
        ("resolves", "[resolve, nobody.default.svc]", "looking up"),
        ("floods", "[sockets]", "sockets: "),
    ] {
        run(cluster, name, args, "");
        logged(cluster, name, words);
        let began = Instant::now();
        says(cluster, &format!("delete pod {name}"), &["deleted"]);
        assert!(began.elapsed() < ENDED_WITHIN, "{name} took {:?}", began.elapsed());
    }
}

fn a_log_has_bounds_and_is_cut_as_asked(cluster: &Cluster, dir: &std::path::Path) {
    run(cluster, "line", "[line, '1024']", "");
    says(cluster, "wait --for=jsonpath={.status.phase}=Succeeded pod/line --timeout=120s", &["condition met"]);
    let n_bytes = log_bytes(dir);
    assert!(n_bytes < LOG_BYTES_MAX, "{n_bytes} bytes of logs");
    assert_eq!(cluster.ask(&["logs", "line", "--limit-bytes=100"]).len(), 100);
    says(cluster, "logs line --tail=1", &["the line is written"]);
    says(cluster, "logs line --tail=1 --since=1h --timestamps", &["Z the line is written"]);
    assert_eq!(cluster.ask(&["logs", "line", "--since-time=2999-01-01T00:00:00Z"]), "");
    says(cluster, "logs line -p", &["previous terminated container \"c\" in pod \"line\" not found"]);
}

/// The size of every log below `dir`.
fn log_bytes(dir: &std::path::Path) -> u64 {
    let mut bytes = 0;
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                Ok(metadata) if entry.file_name().to_string_lossy().contains(".log") => bytes += metadata.len(),
                Ok(_) | Err(_) => {}
            }
        }
    }
    bytes
}

fn who_fills_the_disk_is_evicted(cluster: &Cluster) {
    let limits = ", resources: {limits: {ephemeral-storage: 8Mi}}";
    run(cluster, "fills", "[files, /data/much, '16']", limits);
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/fills --timeout=60s", &["condition met"]);
    let words = "Pod ephemeral local storage usage exceeds the total limit of containers 8Mi.";
    says(cluster, "describe pod fills", &["Reason:", "Evicted", words]);
}

fn last_words_and_a_core_dump_are_left(cluster: &Cluster) {
    run(cluster, "words", "[words, /dev/termination-log, 'enough is enough']", "");
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/words --timeout=60s", &["condition met"]);
    says(cluster, "describe pod words", &["Message:", "enough is enough", "Exit Code:    1"]);
    run(cluster, "traps", "[trap]", "");
    says(cluster, "wait --for=jsonpath={.status.phase}=Failed pod/traps --timeout=60s", &["condition met"]);
    says(cluster, "describe pod traps", &["Exit Code:    134", "unreachable", "bytes of memory in use", "Trapped"]);
    assert!(cluster.coracle(&["coredump", "traps"]).starts_with("\0asm"));
    let refused = cluster.client(&crate::cluster::binary()).args(["coredump", "words"]).output().unwrap();
    assert!(said(&refused).contains("has left no core dump"), "{}", said(&refused));
}

fn servers_and_isolated_guests_leave_core_dumps_too(cluster: &Cluster) {
    for (name, class) in [("serves", ""), ("serves-apart", "runtimeClassName: isolated, ")] {
        let manifest = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{class}terminationGracePeriodSeconds: 1,
               containers: [{{name: c, image: 'crasher-http:v1', ports: [{{containerPort: 80}}]}}]}}}}"
        );
        let applied = cluster.apply(&manifest);
        assert!(applied.status.success(), "{}", said(&applied));
        says(cluster, &format!("wait --for=condition=Ready pod/{name} --timeout=120s"), &["condition met"]);
        let panic = format!("/api/v1/namespaces/default/pods/{name}/proxy/panic");
        let refused = said(&cluster.kubectl(&["get", "--raw", &panic]));
        assert!(refused.contains("the guest failed"), "{refused}");
        wait::until("its core dump", || {
            let dump = cluster.client(&crate::cluster::binary()).args(["coredump", name]).output().unwrap();
            if dump.stdout.starts_with(b"\0asm") { Ok(()) } else { Err(said(&dump)) }
        });
        let restarts = ["get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"];
        assert_eq!(cluster.ask(&restarts), "0");
        says(cluster, &format!("delete pod {name}"), &["deleted"]);
    }
}

fn what_is_used_is_told(cluster: &Cluster) {
    for name in ["idle", "busy"] {
        run(cluster, name, if name == "busy" { "[spin]" } else { "[accept, '80']" }, "");
    }
    says(cluster, "wait --for=condition=Ready pod/idle pod/busy --timeout=60s", &["condition met"]);
    wait::until("the busy pod to be the first", || {
        let top = said(&cluster.kubectl(&["top", "pods", "-A", "--sort-by=cpu", "--no-headers"]));
        match top.lines().next() {
            Some(first) if first.contains("busy") && top.contains("idle") => Ok(()),
            Some(_) | None => Err(top),
        }
    });
    let top = cluster.ask(&["top", "pods", "-l", "app=idle", "--no-headers"]);
    assert!(top.contains("idle") && !top.contains("busy"), "{top}");
    says(cluster, "get pods.metrics.k8s.io busy", &["NAME", "CPU", "MEMORY", "WINDOW", "busy"]);
    says(cluster, "top nodes", &["CPU(cores)", "CPU(%)"]);
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let metrics = cluster.ask(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/metrics")]);
    assert!(metrics.contains("container_memory_working_set_bytes{namespace=\"default\",pod=\"busy\",container=\"c\"}"));
    says(cluster, "delete pod idle busy", &["deleted"]);
}
