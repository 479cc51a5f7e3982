//! Nodes on machines of their own: joining, traffic between all of them, and what a network does to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{said, workload_file};
use crate::machines::{Machine, Network, Role};
use crate::observers::{Capture, Load};
use crate::wait;

/// A server on the first machine, and an agent on each other.
struct Story {
    network: Network,
    server: Role,
    agents: BTreeMap<&'static str, Role>,
}

/// How long a node may be silent, and how long it may have been when it dies.
const GRACE: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long the server stands still: longer than a node may be silent.
const FROZEN: Duration = Duration::from_secs(30);
const OWN_PORT: u16 = 30081;
const NODES: [&str; 3] = ["n1", "n2", "n3"];

#[test]
fn nodes_join_talk_and_survive_what_the_network_does() {
    let Some(network) = Network::new(4) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::start(network, dir.path());
    a_token_that_was_revoked_is_of_no_use(&story, dir.path());
    story.push("echo-tcp");
    story.push("netcat");
    story.push("hello-http");
    let servers = story.servers();
    let capture = Capture::start(story.network.machine(1), &dir.path().join("n1.pcap"));
    story.everybody_talks_to_everybody(&servers, "first");
    if let Some(capture) = capture {
        story.nothing_was_seen_in_clear(capture);
    }
    story.a_pod_finds_names_of_its_own(&servers);
    story.a_node_port_answers_on_every_machine();
    story.datagrams_come_in_from_outside();
    story.a_rolling_update_loses_no_request();

    story.network.cut(1, 2, true);
    story.link("n1", "n2", "relayed");
    story.link("n2", "n1", "relayed");
    story.everybody_talks_to_everybody(&servers, "cut");
    story.network.cut(1, 2, false);
    story.link("n1", "n2", "direct");
    story.everybody_talks_to_everybody(&servers, "healed");

    story.nodes_do_without_the_server(dir.path());

    story.a_node_dies_under_load();
}

fn a_token_that_was_revoked_is_of_no_use(story: &Story, dir: &Path) {
    let token = story.coracle(&["token", "create", "--ttl", "1h"]);
    let id = token.split('.').next().unwrap().to_owned();
    assert!(story.coracle(&["token", "list"]).contains(&id));
    story.coracle(&["token", "revoke", &id]);
    let machine = story.network.machine(3);
    let server = format!("https://{}:6443", story.machine().address);
    let mut command = machine.command(&crate::cluster::binary());
    command.args(["agent", "--server", &server, "--token", token.trim(), "--name", "late", "--data-dir"]);
    let out = command.arg(dir.join("late")).output().unwrap();
    assert!(!out.status.success());
    assert!(said(&out).contains("refuses the token"), "{}", said(&out));
}

impl Story {
    fn start(network: Network, dir: &Path) -> Self {
        let address = network.machine(0).address;
        let listen = format!("{address}:6443");
        let args = ["server", "--listen", &listen, "--node-monitor-grace-period", "20s"];
        let mut server = network.machine(0).start(&args, &dir.join("server"));
        server.wait_ready();
        let mut story = Self { network, server, agents: BTreeMap::new() };
        let token = story.coracle(&["token", "create"]);
        let url = format!("https://{listen}");
        for (idx, name) in NODES.iter().enumerate() {
            let machine = story.network.machine(idx + 1);
            let mut args = vec!["agent", "--server", &url, "--token", token.trim(), "--name", name];
            // The third is as behind a NAT: where it says that it is, nobody finds it.
            if *name == "n3" {
                args.extend(["--address", "198.51.100.3"]);
            }
            story.agents.insert(name, machine.start(&args, &dir.join(name)));
        }
        wait::until("three ready nodes", || {
            let nodes = story.ask(&["get", "nodes", "--no-headers"]);
            let logs: String = story.agents.values().map(Role::log).collect();
            if nodes.matches(" Ready ").count() == 3 { Ok(()) } else { Err(format!("{nodes}\n{logs}")) }
        });
        story
    }

    fn machine(&self) -> &Machine {
        self.network.machine(0)
    }

    fn ask(&self, args: &[&str]) -> String {
        let out = self.machine().kubectl(&self.server, args);
        assert!(out.status.success(), "kubectl {args:?}: {}\n{}", said(&out), self.server.log());
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn coracle(&self, args: &[&str]) -> String {
        let out = self.machine().coracle(&self.server, args);
        assert!(out.status.success(), "coracle {args:?}: {}\n{}", said(&out), self.server.log());
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn apply(&self, objects: &[Value]) {
        let file = self.server.kubeconfig().with_file_name("manifest.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(&file, list.to_string()).unwrap();
        self.ask(&["apply", "-f", file.to_str().unwrap()]);
    }

    fn push(&self, workload: &str) {
        let file = workload_file(workload);
        self.coracle(&["push", file.to_str().unwrap(), &format!("{workload}:v1")]);
    }

    /// Servers of TCP and UDP on each node: their addresses.
    fn servers(&self) -> BTreeMap<&'static str, [String; 2]> {
        let pods = NODES.iter().flat_map(|node| {
            let tcp = pod(&format!("tcp-{node}"), node, "echo-tcp", &[]);
            [tcp, pod(&format!("udp-{node}"), node, "netcat", &["listen-udp", "53"])]
        });
        self.apply(&pods.collect::<Vec<_>>());
        let address = |name: String| {
            wait::until("a server to run", || {
                let seen = self.ask(&["get", "pod", &name, "-o", "jsonpath={.status.phase} {.status.podIP}"]);
                seen.strip_prefix("Running ").map(str::to_owned).ok_or(seen)
            })
        };
        NODES.map(|node| (node, [address(format!("tcp-{node}")), address(format!("udp-{node}"))])).into()
    }

    fn everybody_talks_to_everybody(&self, servers: &BTreeMap<&'static str, [String; 2]>, what: &str) {
        let mut pods = Vec::new();
        for from in NODES {
            for (to, [tcp, udp]) in servers {
                let text = format!("{what}-{from}-{to}");
                pods.push(pod(&format!("tcp-{text}"), from, "netcat", &["tcp", &format!("{tcp}:7"), &text]));
                pods.push(pod(&format!("udp-{text}"), from, "netcat", &["udp", &format!("{udp}:53"), &text]));
            }
        }
        self.apply(&pods);
        for pod in &pods {
            let name = pod["metadata"]["name"].as_str().unwrap();
            self.succeeded(name);
            let log = self.ask(&["logs", name]);
            assert!(log.contains(&name[4..]), "{name}: {log}");
        }
    }

    fn a_node_port_answers_on_every_machine(&self) {
        let toleration =
            |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "hello"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "hello"}}, "template": {
                "metadata": {"labels": {"app": "hello"}},
                "spec": {
                    "containers": [{"name": "hello", "image": "hello-http:v1", "ports": [{"containerPort": 80}]}],
                    "tolerations": [toleration("node.kubernetes.io/unreachable"), toleration("node.kubernetes.io/not-ready")],
                    "terminationGracePeriodSeconds": 0,
                },
            }},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hello"},
            "spec": {"type": "NodePort", "selector": {"app": "hello"}, "ports": [{"port": 80, "nodePort": 30080}]},
        });
        self.apply(&[deployment, service]);
        self.ask(&["rollout", "status", "deployment/hello", "--timeout=60s"]);
        (1..=3).for_each(|idx| self.service_answers_on(idx));
    }

    /// The server stands still for longer than nodes may be silent. Services answer all the time, and an agent that is
    /// killed meanwhile starts its pods from what it has kept. Nobody loses a pod for it.
    fn nodes_do_without_the_server(&mut self, dir: &Path) {
        self.a_pod_that_needs_a_secret();
        wait::until("the pod to answer on another machine", || self.answer_on(2, OWN_PORT));
        let before = self.pods();
        let kept = dir.join("n1/node/pods.json");
        wait::until("the agent to have kept the pod's address", || {
            let pods: Vec<Value> = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
            let own = pods.iter().find(|pod| pod["metadata"]["name"] == "own");
            own.filter(|own| own["status"]["podIP"].is_string()).map(drop).ok_or_else(|| format!("{own:?}"))
        });
        self.server.freeze(true);
        self.agents.remove("n1").unwrap().kill();
        let agent = self.network.machine(1).start(&["agent"], &dir.join("n1"));
        let frozen = Instant::now();
        wait::until("the pod of the agent that was killed to answer on another machine", || {
            self.answer_on(2, OWN_PORT).map_err(|why| format!("{why}; {}", agent.log()))
        });
        while frozen.elapsed() < FROZEN {
            (1..=3).for_each(|idx| self.service_answers_on(idx));
        }
        self.server.freeze(false);
        self.agents.insert("n1", agent);
        wait::until("the server to hear of the pod that was started again", || {
            let restarts = "jsonpath={.status.containerStatuses[0].restartCount}{.status.containerStatuses[0].ready}";
            let seen = self.ask(&["get", "pod", "own", "-o", restarts]);
            if seen == "1true" { Ok(()) } else { Err(seen) }
        });
        assert_eq!(self.pods(), before);
        let nodes = self.ask(&["get", "nodes", "--no-headers"]);
        assert_eq!(nodes.matches(" Ready ").count(), 3, "{nodes}");
    }

    fn pods(&self) -> String {
        self.ask(&["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}"])
    }

    fn a_pod_that_needs_a_secret(&self) {
        let metadata = json!({"name": "own", "labels": {"app": "own"}});
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "value"}});
        let mut pod = pod("own", "n1", "hello-http", &[]);
        pod["metadata"] = metadata.clone();
        pod["spec"]["restartPolicy"] = json!("Always");
        let container = &mut pod["spec"]["containers"][0];
        container["envFrom"] = json!([{"secretRef": {"name": "own"}}]);
        container["volumeMounts"] = json!([{"name": "own", "mountPath": "/own"}]);
        pod["spec"]["volumes"] = json!([{"name": "own", "secret": {"secretName": "own"}}]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"type": "NodePort", "selector": {"app": "own"}, "ports": [{"port": 80, "nodePort": OWN_PORT}]},
        });
        self.apply(&[secret, pod, service]);
    }

    /// What pods of different nodes said to each other was encrypted, and there was nothing else between the nodes.
    fn nothing_was_seen_in_clear(&self, capture: Capture) {
        let [n1, n2] = [1, 2].map(|idx| self.network.machine(idx).address);
        let (bytes, in_clear) = capture.finish(&format!("ip.addr == {n1} && ip.addr == {n2} && !udp"));
        assert_eq!(in_clear, "");
        assert!(bytes.len() > 10_000, "{} bytes were captured", bytes.len());
        for said in ["first-n1-n2", "first-n2-n1", "first-n1-n3"] {
            assert!(!bytes.windows(said.len()).any(|window| window == said.as_bytes()), "{said} was seen in clear");
        }
    }

    /// A pod knows its aliases, and searches where it is told to.
    fn a_pod_finds_names_of_its_own(&self, servers: &BTreeMap<&'static str, [String; 2]>) {
        let mut alias = pod("alias", "n1", "netcat", &["tcp", "friend.example:7", "by its alias"]);
        alias["spec"]["hostAliases"] = json!([{"ip": servers["n2"][0], "hostnames": ["friend.example", "friend"]}]);
        let mut search = pod("search", "n1", "netcat", &["resolve", "kubernetes"]);
        search["spec"]["dnsConfig"] = json!({"searches": ["default.svc.cluster.local"]});
        search["spec"]["dnsPolicy"] = json!("ClusterFirst");
        self.apply(&[alias, search]);
        for (name, said) in [("alias", "by its alias"), ("search", "10.96.0.1")] {
            self.succeeded(name);
            let log = self.ask(&["logs", name]);
            assert!(log.contains(said), "{name}: {log}");
        }
    }

    fn succeeded(&self, name: &str) {
        wait::until("a pod to succeed", || {
            let phase = self.ask(&["get", "pod", name, "-o", "jsonpath={.status.phase}"]);
            if phase == "Succeeded" { Ok(()) } else { Err(format!("{name} is {phase}; {}", self.links())) }
        });
    }

    /// UDP comes in at a node port of every machine, and at the addresses of a load balancer, which are the nodes'.
    fn datagrams_come_in_from_outside(&self) {
        let mut server = pod("udp-outside", "n2", "netcat", &["listen-udp", "53"]);
        server["metadata"]["labels"] = json!({"app": "udp"});
        let ports = json!([{"port": 5353, "targetPort": 53, "nodePort": 30053, "protocol": "UDP"}]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "udp"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "udp"}, "ports": ports},
        });
        self.apply(&[server, service]);
        let addresses = wait::until("the load balancer to have addresses", || {
            let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
            let found = self.ask(&["get", "service", "udp", "-o", path]);
            if found.split(' ').count() == 3 { Ok(found) } else { Err(found) }
        });
        let machine = |idx: usize| self.network.machine(idx).address.to_string();
        assert!(addresses.split(' ').any(|ip| ip == machine(1)), "{addresses}");
        for (to, port) in [(1, 30053), (2, 30053), (3, 30053), (1, 5353), (2, 5353)] {
            wait::until("a datagram to be answered", || {
                let script =
                    format!("exec 3<>/dev/udp/{}/{port}; printf 'to {to}' >&3; timeout 2 head -c 4 <&3", machine(to));
                let out = self.machine().command(Path::new("bash")).args(["-c", &script]).output().unwrap();
                if out.stdout == format!("to {to}").into_bytes() {
                    Ok(())
                } else {
                    Err(format!("{port}: {}", said(&out)))
                }
            });
        }
    }

    /// Every request is answered while every pod is replaced, at a node port of two machines.
    fn a_rolling_update_loses_no_request(&self) {
        self.coracle(&["push", workload_file("hello-http").to_str().unwrap(), "hello-http:v2"]);
        let containers = json!([{"name": "web", "image": "hello-http:v1", "ports": [{"containerPort": 80}]}]);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers},
            }},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": 30082}]},
        });
        self.apply(&[deployment, service]);
        self.ask(&["rollout", "status", "deployment/web", "--timeout=60s"]);
        let url = |idx: usize| format!("http://{}:30082/", self.network.machine(idx).address);
        for idx in [1, 2] {
            wait::until("the node port to answer", || self.answer_on(idx, 30082));
        }
        let loads = [1, 2].map(|idx| Load::start(self.machine(), &url(idx), 20));
        self.ask(&["set", "image", "deployment/web", "web=hello-http:v2"]);
        self.ask(&["rollout", "status", "deployment/web", "--timeout=60s"]);
        for load in loads.into_iter().flatten() {
            let answers = load.finish();
            assert!(answers.failures.is_empty() && answers.n_requests > 100, "{answers:?}");
        }
        self.ask(&["delete", "deployment/web", "service/web", "--timeout=60s"]);
    }

    /// The service goes on on the other machines, and the pods of the dead node come back elsewhere, not before the node
    /// has been silent for as long as was said.
    fn a_node_dies_under_load(&mut self) {
        let load = Load::start(self.machine(), &format!("http://{}:30080/", self.network.machine(1).address), 20);
        let died = Instant::now();
        self.agents.remove("n2").unwrap().kill();
        for idx in [1, 3] {
            self.service_answers_on(idx);
        }
        wait::until("the pods of the dead node to be replaced", || {
            let nodes = self.ask(&["get", "pods", "-l", "app=hello", "-o", "jsonpath={.items[*].spec.nodeName}"]);
            let ready = self.ask(&["get", "deployment", "hello", "-o", "jsonpath={.status.readyReplicas}"]);
            if ready == "3" && !nodes.contains("n2") { Ok(()) } else { Err(format!("{ready} ready on {nodes}")) }
        });
        assert!(died.elapsed() > GRACE - HEARTBEAT, "{:?}", died.elapsed());
        if let Some(load) = load {
            let answers = load.finish();
            assert!(answers.n_requests > 100, "{answers:?}");
        }
        for idx in [1, 3] {
            self.service_answers_on(idx);
        }
    }

    fn service_answers_on(&self, idx: usize) {
        wait::until("a node port to answer", || self.answer_on(idx, 30080));
    }

    fn answer_on(&self, idx: usize, port: u16) -> Result<(), String> {
        let url = format!("http://{}:{port}/", self.network.machine(idx).address);
        let mut curl = self.machine().command(Path::new("curl"));
        let out = curl.args(["-s", "-S", "-f", "-m", "10", &url]).output().map_err(|error| error.to_string())?;
        if out.status.success() { Ok(()) } else { Err(said(&out)) }
    }

    fn links(&self) -> String {
        let out = self.machine().coracle(&self.server, &["net"]);
        said(&out)
    }

    fn link(&self, from: &str, to: &str, state: &str) {
        wait::until("a link to change", || {
            let links = self.links();
            let found = links.lines().any(|line| line.split_whitespace().take(3).eq([from, to, state]));
            if found { Ok(()) } else { Err(links) }
        });
    }
}

fn pod(name: &str, node: &str, image: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": format!("{image}:v1"), "args": args}],
        },
    })
}
