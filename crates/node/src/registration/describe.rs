//! What a node says of itself: its labels, what it offers, and how it is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::Config;

const KUBELET_VERSION: &str = concat!("v1.37.0+coracle.", env!("CARGO_PKG_VERSION"));
const OS_IMAGE: &str = concat!("Coracle ", env!("CARGO_PKG_VERSION"), " (WebAssembly)");
const RUNTIME_VERSION: &str = "wasmtime://48";

/// The node as it is registered.
pub(super) fn node(config: &Config) -> Node {
    let networks: Vec<String> = config.pod_cidrs.iter().map(ToString::to_string).collect();
    let mut spec = json!({});
    if let Some(first) = networks.first() {
        spec = json!({"podCIDR": first, "podCIDRs": networks});
    }
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels(config)},
        "spec": spec,
        "status": status(config),
    });
    serde_json::from_value(node).expect("the fields are those of a Node")
}

fn labels(config: &Config) -> BTreeMap<String, String> {
    let arch = architecture();
    let usual = [
        ("kubernetes.io/hostname", config.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ];
    let mut labels: BTreeMap<String, String> =
        usual.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    labels.extend(config.labels.clone());
    labels
}

/// As Go names the machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the node offers, by resource.
pub(crate) fn allocatable(config: &Config) -> BTreeMap<String, String> {
    let cpu = match config.cpu_milli {
        Some(milli) if milli % 1000 != 0 => format!("{milli}m"),
        Some(milli) => (milli / 1000).to_string(),
        None => std::thread::available_parallelism().map_or(1, usize::from).to_string(),
    };
    let memory = config.memory_bytes.map(|bytes| bytes / 1024).or_else(machine_memory_kib).unwrap_or(1024 * 1024);
    BTreeMap::from([
        ("cpu".to_owned(), cpu),
        ("memory".to_owned(), format!("{memory}Ki")),
        ("pods".to_owned(), config.max_pods.to_string()),
        ("ephemeral-storage".to_owned(), format!("{}Ki", disk_kib(config))),
    ])
}

fn machine_memory_kib() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().trim_end_matches("kB").trim().parse().ok()
}

fn disk_kib(config: &Config) -> u64 {
    let mut dir = config.data_dir.as_path();
    loop {
        match (rustix::fs::statvfs(dir), dir.parent()) {
            (Ok(disk), _) => return disk.f_blocks.saturating_mul(disk.f_frsize) / 1024,
            (Err(_), Some(parent)) => dir = parent,
            (Err(_), None) => return 0,
        }
    }
}

/// All of the status but its conditions.
fn status(config: &Config) -> Value {
    let resources = allocatable(config);
    let mut addresses: Vec<Value> =
        config.addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip.to_string()})).collect();
    addresses.push(json!({"type": "Hostname", "address": config.name}));
    json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "architecture": architecture(),
            "operatingSystem": "linux",
            "osImage": OS_IMAGE,
            "kernelVersion": line_of("/proc/sys/kernel/osrelease"),
            "machineID": line_of("/etc/machine-id"),
            "systemUUID": line_of("/etc/machine-id"),
            "bootID": line_of("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": RUNTIME_VERSION,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
        },
    })
}

fn line_of(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The status of a node that runs pods. Transition times are those of `known` where nothing has changed.
pub(super) fn ready(config: &Config, known: &Node) -> Value {
    let mut status = status(config);
    let now = config.clock.now().as_second();
    let now = jiff::Timestamp::from_second(now).expect("the second of a valid time is valid").to_string();
    let condition = |kind: &str, holds: &str, reason: &str, message: &str| {
        let conditions = known.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let same = conditions.into_iter().find(|old| old.type_ == kind && old.status == holds);
        let since = same.and_then(|old| old.last_transition_time.as_ref()).map(|time| time.0.to_string());
        json!({
            "type": kind, "status": holds, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since.unwrap_or_else(|| now.clone()),
        })
    };
    status["conditions"] = json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node has enough memory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has enough disk space"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "pods of this node need no processes"),
        condition("Ready", "True", "KubeletReady", "the node runs pods"),
    ]);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_offers_what_it_is_told_to() {
        let config = Config { cpu_milli: Some(1500), memory_bytes: Some(1 << 30), ..Config::new("n1", "/tmp") };
        let offered = allocatable(&config);
        assert_eq!((offered["cpu"].as_str(), offered["memory"].as_str()), ("1500m", "1048576Ki"));
        assert_eq!(offered["pods"], "110");
    }

    #[test]
    fn a_registered_node_names_its_networks_when_it_knows_them() {
        let config = Config { pod_cidrs: vec!["10.244.0.0/24".parse().unwrap()], ..Config::new("n1", "/tmp") };
        let registered = node(&config);
        assert_eq!(registered.spec.unwrap().pod_cidr.as_deref(), Some("10.244.0.0/24"));
        assert_eq!(node(&Config::new("n1", "/tmp")).spec.unwrap().pod_cidr, None);
    }

    #[tokio::test]
    async fn a_condition_keeps_the_time_of_its_last_change() {
        let config = Config::new("n1", "/tmp");
        let known: Node = serde_json::from_value(json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
            {"type": "DiskPressure", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ]}}))
        .unwrap();
        let status = ready(&config, &known);
        assert_eq!(status["conditions"][3]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_ne!(status["conditions"][1]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    }
}
