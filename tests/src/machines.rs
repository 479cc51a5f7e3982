//! Machines of a small network: namespaces joined by veth through a router, each with processes of its own. Needs the right
//! to make network namespaces.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::cluster::{binary, kubectl, said};
use crate::wait;

/// Namespaces around a router. Dropping it takes them away.
#[derive(Debug)]
pub struct Network {
    hub: String,
    machines: Vec<Machine>,
}

/// A machine: its namespace and its address.
#[derive(Clone, Debug)]
pub struct Machine {
    namespace: String,
    pub address: Ipv4Addr,
}

/// A `coracle` process of a machine. Dropping it kills the process.
#[derive(Debug)]
pub struct Role {
    process: Child,
    data_dir: PathBuf,
}

impl Network {
    /// `n_machines` machines that reach each other; `None`, with a word why, where namespaces are not permitted.
    pub fn new(n_machines: u8) -> Option<Self> {
        let hub = format!("coracle-{}-hub", std::process::id());
        if let Err(why) = try_ip(&["netns", "add", &hub]) {
            eprintln!("skipped: network namespaces are not permitted here: {why}");
            return None;
        }
        let mut network = Self { hub, machines: Vec::new() };
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        ip(&["netns", "exec", &network.hub, "sh", "-c", forward]);
        for n in 1..=n_machines {
            network.add(n);
        }
        Some(network)
    }

    fn add(&mut self, n: u8) {
        let (namespace, port) = (format!("coracle-{}-{n}", std::process::id()), format!("port{n}"));
        let (address, gateway) = (Ipv4Addr::new(10, 99, n, 2), Ipv4Addr::new(10, 99, n, 1).to_string());
        ip(&["netns", "add", &namespace]);
        self.machines.push(Machine { namespace: namespace.clone(), address });
        let (hub, namespace) = (self.hub.as_str(), namespace.as_str());
        ip(&["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
        ip(&["-n", hub, "address", "add", &format!("{gateway}/24"), "dev", &port]);
        ip(&["-n", hub, "link", "set", &port, "up"]);
        ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
        ip(&["-n", namespace, "link", "set", "eth0", "up"]);
        ip(&["-n", namespace, "link", "set", "lo", "up"]);
        ip(&["-n", namespace, "route", "add", "default", "via", &gateway]);
    }

    pub fn machine(&self, idx: usize) -> &Machine {
        &self.machines[idx]
    }

    /// Lets nothing pass between two machines, or everything again.
    pub fn cut(&self, a: usize, b: usize, cut: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let to = format!("{}/32", self.machines[to].address);
            let verb = if cut { "add" } else { "delete" };
            ip(&["-n", &self.machines[from].namespace, "route", verb, "blackhole", &to]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in self.machines.iter().map(|machine| &machine.namespace).chain([&self.hub]) {
            let _ = try_ip(&["netns", "delete", namespace]);
        }
    }
}

impl Machine {
    /// A command that runs on this machine.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Starts `coracle ARGS` with a data directory.
    pub fn start(&self, args: &[&str], data_dir: &Path) -> Role {
        std::fs::create_dir_all(data_dir).expect("make the data directory");
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(data_dir.join("up.log")).expect("open the log");
        let mut command = self.command(&binary());
        command.args(args).arg("--data-dir").arg(data_dir).env_remove("RUST_BACKTRACE");
        command.env("CORACLE_LOG", std::env::var("CORACLE_LOG").unwrap_or_else(|_| "info".into()));
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("start coracle");
        let lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Role { process, data_dir: data_dir.to_owned() }
    }

    /// `kubectl ARGS` on this machine.
    pub fn kubectl(&self, server: &Role, args: &[&str]) -> Output {
        let mut command = self.command(&kubectl());
        command.env("KUBECONFIG", server.kubeconfig()).env("HOME", &server.data_dir).args(args);
        command.output().expect("start kubectl")
    }

    /// `coracle ARGS` on this machine.
    pub fn coracle(&self, server: &Role, args: &[&str]) -> Output {
        let mut command = self.command(&binary());
        command.env("KUBECONFIG", server.kubeconfig()).args(args);
        command.output().expect("start coracle")
    }
}

impl Role {
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    /// Waits for the file by which a server says that it is ready.
    ///
    /// # Panics
    /// When the process ends first.
    pub fn wait_ready(&mut self) {
        wait::until("the server to be ready", || match self.process.try_wait() {
            Ok(Some(status)) => panic!("the server ended: {status}; {}", self.log()),
            _ if self.kubeconfig().exists() => Ok(()),
            _ => Err(self.log()),
        });
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lets the process stand still, or go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().expect("start kill");
        assert!(sent.success(), "kill {signal}: {sent}");
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().expect("kill coracle");
        self.process.wait().expect("wait for coracle");
    }

    /// The end of what the process has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.data_dir.join("up.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ip(args: &[&str]) {
    try_ip(args).unwrap_or_else(|why| panic!("ip {args:?}: {why}"));
}

fn try_ip(args: &[&str]) -> Result<(), String> {
    let out = Command::new("ip").args(args).output().map_err(|error| error.to_string())?;
    if out.status.success() { Ok(()) } else { Err(said(&out)) }
}
