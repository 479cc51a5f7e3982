//! A server and two agents, each a host of its own, and the pods that measure.

use std::path::Path;

use anyhow::{Result, bail};
use coracle_tests::cluster::{said, workload_file};
use coracle_tests::machines::{Machine, Network, Role};
use coracle_tests::wait;
use serde_json::json;

pub(super) struct Hosts {
    // The processes end before their hosts go.
    agents: Vec<Role>,
    server: Role,
    network: Network,
}

impl Hosts {
    pub(super) fn start(network: Network, dir: &Path) -> Result<Self> {
        let listen = format!("{}:6443", network.machine(0).address);
        let mut server = network.machine(0).start(&["server", "--listen", &listen], &dir.join("server"));
        server.wait_ready();
        let mut hosts = Self { agents: Vec::new(), server, network };
        let token = hosts.coracle(&["token", "create"])?;
        let url = format!("https://{listen}");
        for (idx, name) in [(1, "a"), (2, "b")] {
            let args = ["agent", "--server", &url, "--token", &token, "--name", name];
            let agent = hosts.network.machine(idx).start(&args, &dir.join(name));
            hosts.agents.push(agent);
        }
        wait::until("both nodes to be ready", || {
            let nodes = hosts.kubectl(&["get", "nodes", "--no-headers"]).map_err(|error| error.to_string())?;
            if nodes.matches(" Ready ").count() == 2 { Ok(()) } else { Err(nodes) }
        });
        let netcat = workload_file("netcat");
        hosts.coracle(&["push", netcat.to_str().expect("paths here are UTF-8"), "netcat:v1"])?;
        Ok(hosts)
    }

    pub(super) fn a(&self) -> &Machine {
        self.network.machine(1)
    }

    pub(super) fn b(&self) -> &Machine {
        self.network.machine(2)
    }

    /// The processes of the agents.
    pub(super) fn agents(&self) -> Vec<u32> {
        self.agents.iter().map(Role::pid).collect()
    }

    /// Starts a pod that runs `netcat ARGS`, and returns its address.
    pub(super) fn pod(&self, name: &str, node: &str, args: &[&str]) -> Result<String> {
        self.create(name, node, args)?;
        self.until(name, "Running")?;
        self.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"])
    }

    /// Lets a pod run `netcat ARGS` to its end, and returns what it printed.
    pub(super) fn run_pod(&self, name: &str, node: &str, args: &[&str]) -> Result<String> {
        self.create(name, node, args)?;
        self.until(name, "Succeeded")?;
        self.kubectl(&["logs", name])
    }

    fn create(&self, name: &str, node: &str, args: &[&str]) -> Result<()> {
        let container = json!({"name": "netcat", "image": "netcat:v1", "args": args});
        let spec = json!({"nodeName": node, "restartPolicy": "Never", "containers": [container]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let file = self.server.kubeconfig().with_file_name("pod.json");
        std::fs::write(&file, pod.to_string())?;
        self.kubectl(&["create", "-f", file.to_str().expect("paths here are UTF-8")]).map(drop)
    }

    fn until(&self, pod: &str, phase: &str) -> Result<()> {
        let phase = format!("--for=jsonpath={{.status.phase}}={phase}");
        self.kubectl(&["wait", &phase, "--timeout=60s", &format!("pod/{pod}")]).map(drop)
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        let out = self.network.machine(0).kubectl(&self.server, args);
        if !out.status.success() {
            bail!("kubectl {args:?}: {}\n{}", said(&out), self.server.log());
        }
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }

    fn coracle(&self, args: &[&str]) -> Result<String> {
        let out = self.network.machine(0).coracle(&self.server, args);
        if !out.status.success() {
            bail!("coracle {args:?}: {}\n{}", said(&out), self.server.log());
        }
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }
}
