//! The objects of `metrics.k8s.io` that a node has: itself, and its pods. The API server asks for them, and gives them
//! to whoever wants to know.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::reading::{PodReading, Total};
use crate::agent::SAMPLED_EVERY;

/// What the node's pods use, as `{"items": [..]}`. Who runs nothing is not in it.
pub(super) fn pods(pods: &[PodReading], now: Timestamp) -> Value {
    let items = pods.iter().filter(|pod| !pod.containers.is_empty()).map(|pod| {
        let window = Total::of(&pod.containers).window;
        let containers = pod.containers.iter().map(|container| {
            let usage = usage(container.recent.nanocores, container.usage.memory_bytes);
            json!({"name": container.name, "usage": usage})
        });
        json!({
            "metadata": {
                "name": pod.name,
                "namespace": pod.namespace,
                "creationTimestamp": seconds(now),
                "labels": pod.labels,
            },
            "timestamp": seconds(now),
            "window": duration(window),
            "containers": containers.collect::<Vec<_>>(),
        })
    });
    json!({"items": items.collect::<Vec<_>>()})
}

/// What all pods of the node use together. The process itself is not in it: several nodes may share one.
pub(super) fn node(name: &str, pods: &[PodReading], now: Timestamp) -> Value {
    let total = Total::of(pods.iter().flat_map(|pod| &pod.containers));
    let window = if total.window.is_zero() { SAMPLED_EVERY } else { total.window };
    json!({"items": [{
        "metadata": {"name": name, "creationTimestamp": seconds(now)},
        "timestamp": seconds(now),
        "window": duration(window),
        "usage": usage(total.nanocores, total.memory_bytes),
    }]})
}

fn usage(nanocores: u64, memory_bytes: u64) -> Value {
    json!({"cpu": format!("{nanocores}n"), "memory": format!("{}Ki", memory_bytes.div_ceil(1024))})
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// As Go prints and reads a duration.
fn duration(duration: Duration) -> String {
    format!("{}s", duration.as_millis() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use coracle_runtime::Usage;

    use super::super::reading::ContainerReading;
    use super::*;
    use crate::agent::Recent;

    fn reading() -> PodReading {
        let container = |name: &str, nanocores, memory_bytes| ContainerReading {
            name: name.to_owned(),
            usage: Usage { memory_bytes, ..Usage::default() },
            recent: Recent { nanocores, window: Duration::from_millis(12_500) },
            ..ContainerReading::default()
        };
        PodReading {
            namespace: "shop".to_owned(),
            name: "cart".to_owned(),
            labels: [("app".to_owned(), "cart".to_owned())].into(),
            containers: vec![container("a", 1500, 65_536), container("b", 500, 1)],
            ..PodReading::default()
        }
    }

    #[test]
    fn a_pods_metrics_are_its_containers() {
        let found = pods(&[reading(), PodReading::default()], Timestamp::UNIX_EPOCH);
        assert_eq!(
            found["items"],
            json!([{
                "metadata": {
                    "name": "cart", "namespace": "shop", "labels": {"app": "cart"},
                    "creationTimestamp": "1970-01-01T00:00:00Z",
                },
                "timestamp": "1970-01-01T00:00:00Z",
                "window": "12.5s",
                "containers": [
                    {"name": "a", "usage": {"cpu": "1500n", "memory": "64Ki"}},
                    {"name": "b", "usage": {"cpu": "500n", "memory": "1Ki"}},
                ],
            }])
        );
    }

    #[test]
    fn a_node_uses_what_its_pods_use() {
        let found = node("n1", &[reading()], Timestamp::UNIX_EPOCH);
        assert_eq!(found["items"][0]["usage"], json!({"cpu": "2000n", "memory": "65Ki"}));
        assert_eq!(node("n1", &[], Timestamp::UNIX_EPOCH)["items"][0]["window"], "10s");
    }
}
