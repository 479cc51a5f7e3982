//! Ways into a pod, with real kubectl: exec, cp, attach, debug, port-forward, the proxies, and limits that change.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use super::kubectl::says;
use crate::cluster::{Cluster, kubectl, manifest_file, said};
use crate::wait;

#[test]
fn a_running_pod_is_reached_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    for image in ["toolbox", "toolbox-p1", "hello-http"] {
        cluster.push(image, &format!("{image}:v1"));
    }
    cluster.ask(&["apply", "-f", &manifest_file("toolbox")]);
    says(&cluster, "run web --image=hello-http:v1 --port=80 --expose", &["pod/web created"]);
    says(
        &cluster,
        "run core --image=toolbox-p1:v1 -i -q --attach=false --restart=Never -- sleep",
        &["pod/core created"],
    );
    says(&cluster, "wait --for=condition=Ready pod/toolbox pod/web pod/core --timeout=60s", &["pod/web condition met"]);
    commands_run_in_the_pods_place(&cluster);
    what_cannot_run_says_why(&cluster);
    files_are_copied_both_ways(&cluster, dir.path());
    links_stay_in_their_volume(&cluster, dir.path());
    a_process_is_attached_to(&cluster);
    terminals_are_typed_at(&cluster);
    a_pod_is_debugged(&cluster);
    ports_are_forwarded(&cluster);
    a_forward_ends_with_its_pod(&cluster);
    proxies_reach_pods_services_and_nodes(&cluster);
    limits_change_under_a_running_container(&cluster);
    commands_probe_and_hook(&cluster);
}

fn commands_run_in_the_pods_place(cluster: &Cluster) {
    says(cluster, "exec toolbox -- toolbox env GREETING", &["exit status: 0 hello\n"]);
    let failed = cluster.kubectl(&["exec", "toolbox", "--", "toolbox", "exit", "7"]);
    assert_eq!(failed.status.code(), Some(7), "{}", said(&failed));
    assert!(said(&failed).contains("leaving with 7"), "{}", said(&failed));
    assert!(said(&failed).contains("command terminated with exit code 7"), "{}", said(&failed));
    let core = cluster.kubectl(&["exec", "core", "--", "toolbox", "exit", "3"]);
    assert_eq!(core.status.code(), Some(3), "a core module too: {}", said(&core));
    let text = "all work and no play\n".repeat(50_000);
    for pod in ["toolbox", "core"] {
        let copied = cluster.kubectl_with_input(&["exec", "-i", pod, "--", "toolbox", "cat"], &text);
        assert!(copied.stdout == text.as_bytes(), "{pod}: {} of {} bytes came back", copied.stdout.len(), text.len());
    }
    assert_eq!(cluster.ask(&["exec", "toolbox", "--", "toolbox", "flood", "3000000"]).len(), 3_000_000);
    // What one run writes, the next one and the container itself see.
    cluster.ask(&["exec", "toolbox", "--", "toolbox", "write", "/data/note", "from within"]);
    assert_eq!(cluster.ask(&["exec", "toolbox", "--", "toolbox", "read", "/data/note"]), "from within");
    let big = cluster.kubectl(&["exec", "toolbox", "--", "toolbox", "fill", "100"]);
    assert_eq!(big.status.code(), Some(137), "the limits hold for both together: {}", said(&big));
}

fn what_cannot_run_says_why(cluster: &Cluster) {
    says(cluster, "exec web -- ls", &["an HTTP component answers requests and has no `run`"]);
    says(cluster, "exec toolbox -c other -- ls", &["container other is not valid for pod toolbox"]);
    says(cluster, "exec none -- ls", &["pods \"none\" not found"]);
    says(cluster, "exec toolbox -- toolbox", &["usage: toolbox", "command terminated with exit code 64"]);
}

fn files_are_copied_both_ways(cluster: &Cluster, dir: &std::path::Path) {
    let there = dir.join("there");
    std::fs::create_dir_all(there.join("sub")).unwrap();
    std::fs::write(there.join("a"), "first").unwrap();
    std::fs::write(there.join("sub/b"), vec![b'z'; 50 << 20]).unwrap();
    let back = dir.join("back");
    let (there, back) = (there.to_str().unwrap(), back.to_str().unwrap());
    cluster.ask(&["cp", there, "toolbox:/data/copy"]);
    assert_eq!(cluster.ask(&["exec", "toolbox", "--", "toolbox", "read", "/data/copy/a"]), "first");
    cluster.ask(&["cp", "toolbox:/data/copy", back]);
    assert_eq!(std::fs::read(format!("{back}/sub/b")).unwrap(), vec![b'z'; 50 << 20]);
    let file = format!("{there}/a");
    let elsewhere = cluster.kubectl(&["cp", &file, "toolbox:/tmp/a"]);
    assert!(said(&elsewhere).contains("this container's files are in /data"), "{}", said(&elsewhere));
    says(cluster, "exec web -- tar cf - /x", &["this container's files are in /var/run/secrets/", "exit code 2"]);
}

fn links_stay_in_their_volume(cluster: &Cluster, dir: &std::path::Path) {
    use std::os::unix::fs::symlink;
    let links = dir.join("links");
    std::fs::create_dir(&links).unwrap();
    std::fs::write(links.join("real"), "inside").unwrap();
    std::fs::write(dir.join("outside"), "not yours").unwrap();
    symlink("real", links.join("near")).unwrap();
    symlink("../../../../../../../../..".to_owned() + dir.to_str().unwrap() + "/outside", links.join("far")).unwrap();
    cluster.ask(&["cp", links.to_str().unwrap(), "toolbox:/data/links"]);
    assert_eq!(cluster.ask(&["exec", "toolbox", "--", "toolbox", "read", "/data/links/near"]), "inside");
    let far = cluster.kubectl(&["exec", "toolbox", "--", "toolbox", "read", "/data/links/far"]);
    assert_eq!((far.status.code(), far.stdout.as_slice()), (Some(1), b"".as_slice()), "{}", said(&far));
    let archived = cluster.kubectl(&["exec", "toolbox", "--", "tar", "cf", "-", "/data/links/far/"]);
    assert!(!said(&archived).contains("not yours"), "{}", said(&archived));
}

fn a_process_is_attached_to(cluster: &Cluster) {
    let run = ["run", "talk", "--image=toolbox:v1", "--restart=Never", "-i", "--rm", "-q", "--", "upper"];
    let talked = cluster.kubectl_with_input(&run, "hello\nworld\n");
    assert!(said(&talked).contains("HELLO\nWORLD\nbye"), "{}", said(&talked));
    says(cluster, "get pod talk", &["pods \"talk\" not found"]);
}

/// Runs `kubectl LINE` at a terminal: as soon as it has shown the one, the other is typed. Returns the exit code, and what was
/// shown in all.
fn at_a_terminal(cluster: &Cluster, line: &str, talk: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = cluster.client(std::path::Path::new("script"));
    command.env("KUBECTL", kubectl()).args(["-qefc", &format!("exec \"$KUBECTL\" {line}"), "/dev/null"]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start script");
    let (mut keys, mut screen) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let (mut shown, mut seen) = (String::new(), 0);
    let mut piece = [0; 4096];
    for (awaited, typed) in talk {
        while !shown[seen..].contains(awaited) {
            let n = screen.read(&mut piece).unwrap();
            assert_ne!(n, 0, "kubectl {line} ended before {awaited:?}: {shown}");
            shown.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
        seen = shown.len();
        keys.write_all(typed.as_bytes()).unwrap();
    }
    screen.read_to_string(&mut shown).unwrap();
    (process.wait().unwrap().code(), shown)
}

fn terminals_are_typed_at(cluster: &Cluster) {
    let (code, shown) = at_a_terminal(cluster, "exec -it toolbox -- toolbox terminal", &[]);
    assert_eq!((code, shown.as_str()), (Some(0), "true\r\n"));
    let talk = [("", "hello\r"), ("HELLO", "ab\x7fc\r"), ("AC", "\x03")];
    let (code, shown) = at_a_terminal(cluster, "exec -it toolbox -- toolbox upper", &talk);
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("^C"), "{shown}");
    let run = "run typed --image=toolbox:v1 -it --rm -q --restart=Never -- upper";
    let (code, shown) = at_a_terminal(cluster, run, &[("", "hello\r"), ("HELLO", "\x04")]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("bye"), "{shown}");
}

fn a_pod_is_debugged(cluster: &Cluster) {
    let debug = "debug toolbox --image=toolbox:v1 -c dbg -it -q -- toolbox upper";
    let (code, shown) = at_a_terminal(cluster, debug, &[("", "who goes there\r"), ("WHO GOES THERE", "\x04")]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("bye"), "{shown}");
    let state = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}";
    wait::until("the debugger to have ended", || match cluster.ask(&["get", "pod", "toolbox", "-o", state]) {
        reason if reason == "Completed" => Ok(()),
        reason => Err(reason),
    });
    says(cluster, "get pod toolbox", &["1/1     Running   0"]);
}

/// A `kubectl port-forward`, until it is dropped.
struct Forward {
    process: Child,
    address: SocketAddr,
}

impl Forward {
    fn to(cluster: &Cluster, target: &str, port: u16) -> Self {
        let mut command = cluster.client(&kubectl());
        command.args(["port-forward", "--address=127.0.0.1", target, &format!(":{port}")]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let address =
            address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("kubectl said {line:?}"));
        Self { process, address }
    }

    fn send(&self, request: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request).unwrap();
        stream
    }

    fn ask(&self, request: &[u8]) -> Vec<u8> {
        all_of(self.send(request))
    }

    /// As [`Forward::ask`], and the request ends with the connection's own end.
    fn ask_whole(&self, request: &[u8]) -> Vec<u8> {
        let stream = self.send(request);
        stream.shutdown(Shutdown::Write).unwrap();
        all_of(stream)
    }
}

/// What comes until the end; a kubectl that drops a connection with something unread resets it.
fn all_of(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => assert_eq!(read.unwrap(), all.len()),
    }
    all
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ports_are_forwarded(cluster: &Cluster) {
    let forward = Forward::to(cluster, "pod/toolbox", 7);
    std::thread::scope(|scope| {
        for n in 0..16_u8 {
            let forward = &forward;
            scope.spawn(move || {
                let sent = vec![n; 50_000];
                assert!(forward.ask_whole(&sent) == sent, "connection {n} got back what it sent");
            });
        }
    });
    let web = Forward::to(cluster, "service/web", 80);
    let answer = web.ask(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let mut nobody = Forward::to(cluster, "pod/toolbox", 9);
    assert_eq!(nobody.ask(b"hello"), b"");
    let mut words = String::new();
    // The failure of one connection ends a kubectl.
    nobody.process.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("error forwarding port 9 to pod") && words.contains("connection refused"), "{words}");
}

fn a_forward_ends_with_its_pod(cluster: &Cluster) {
    cluster.ask(&["run", "brief", "--image=hello-http:v1", "--port=80"]);
    says(cluster, "wait --for=condition=Ready pod/brief --timeout=60s", &["pod/brief condition met"]);
    let mut forward = Forward::to(cluster, "pod/brief", 80);
    let request = b"GET / HTTP/1.1\r\nhost: brief\r\nconnection: close\r\n\r\n";
    assert!(forward.ask(request).starts_with(b"HTTP/1.1 200"));
    cluster.ask(&["delete", "pod", "brief", "--now"]);
    assert_eq!(forward.ask(request), b"");
    let mut words = String::new();
    forward.process.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("the pod has ended") && words.contains("lost connection to pod"), "{words}");
}

fn proxies_reach_pods_services_and_nodes(cluster: &Cluster) {
    let raw = |path: &str| cluster.ask(&["get", "--raw", path]);
    let hello = raw("/api/v1/namespaces/default/pods/web/proxy/");
    assert!(!hello.is_empty());
    assert_eq!(raw("/api/v1/namespaces/default/pods/web:80/proxy/"), hello);
    assert_eq!(raw("/api/v1/namespaces/default/services/http:web:80/proxy/"), hello);
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    assert_eq!(raw(&format!("/api/v1/nodes/{node}/proxy/healthz")), "ok");
    says(
        cluster,
        "get --raw /api/v1/namespaces/default/pods/toolbox:9/proxy/",
        &["error trying to reach service: dial tcp 10.", "connect: connection refused"],
    );
    says(cluster, "get --raw /api/v1/namespaces/default/services/web:81/proxy/", &["no service port 81 found"]);
}

fn limits_change_under_a_running_container(cluster: &Cluster) {
    let resize = r#"{"spec":{"containers":[{"name":"toolbox","resources":{"limits":{"memory":"256Mi"}}}]}}"#;
    cluster.ask(&["patch", "pod", "toolbox", "--subresource=resize", "-p", resize]);
    wait::until("the new limit to hold", || {
        let out = cluster.kubectl(&["exec", "toolbox", "--", "toolbox", "fill", "100"]);
        if out.status.success() { Ok(()) } else { Err(said(&out)) }
    });
    let limit =
        "jsonpath={.status.containerStatuses[0].resources.limits.memory} {.status.containerStatuses[0].restartCount}";
    assert_eq!(cluster.ask(&["get", "pod", "toolbox", "-o", limit]), "256Mi 0");
}

fn commands_probe_and_hook(cluster: &Cluster) {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probed"}, "spec": {
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [{"name": "c", "image": "toolbox:v1", "args": ["echo", "7"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "lifecycle": {"postStart": {"exec": {"command": ["toolbox", "write", "/data/hooked", "yes"]}}},
            "readinessProbe": {"exec": {"command": ["toolbox", "read", "/data/ready"]}, "periodSeconds": 1}}]}}"#;
    cluster.apply(pod);
    wait::until("the hook to have run", || {
        let out = cluster.kubectl(&["exec", "probed", "--", "toolbox", "read", "/data/hooked"]);
        if out.stdout == b"yes" { Ok(()) } else { Err(said(&out)) }
    });
    wait::until("the probe to have failed", || match cluster.ask(&["events", "--for=pod/probed"]) {
        events if events.contains("Readiness probe failed") => Ok(()),
        events => Err(events),
    });
    cluster.ask(&["exec", "probed", "--", "toolbox", "write", "/data/ready", "yes"]);
    says(cluster, "wait --for=condition=Ready pod/probed --timeout=60s", &["pod/probed condition met"]);
}
