//! `/stats/summary`: what the node and its pods use, in kubelet's JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::reading::{ContainerReading, PodReading, Total};

pub(super) fn summary(node: &str, pods: &[PodReading], now: Timestamp) -> Value {
    let total = Total::of(pods.iter().flat_map(|pod| &pod.containers));
    let pods = pods.iter().filter(|pod| !pod.containers.is_empty()).map(|pod| {
        let containers = pod.containers.iter().map(|one| {
            let mut stats = stats(Total::of([one]), now);
            stats["name"] = json!(one.name);
            stats["startTime"] = json!(started(one));
            stats
        });
        let mut stats = stats(Total::of(&pod.containers), now);
        stats["podRef"] = json!({"name": pod.name, "namespace": pod.namespace, "uid": pod.uid});
        stats["startTime"] = json!(pod.containers.iter().map(started).min());
        stats["containers"] = containers.collect();
        stats
    });
    let pods: Vec<Value> = pods.collect();
    let mut stats = stats(total, now);
    stats["nodeName"] = json!(node);
    json!({"node": stats, "pods": pods})
}

fn started(container: &ContainerReading) -> String {
    format!("{:.0}", container.started_at)
}

fn stats(total: Total, now: Timestamp) -> Value {
    let time = format!("{now:.0}");
    json!({
        "cpu": {"time": time, "usageNanoCores": total.nanocores, "usageCoreNanoSeconds": total.cpu_ns},
        "memory": {"time": time, "usageBytes": total.memory_bytes, "workingSetBytes": total.memory_bytes},
    })
}

#[cfg(test)]
mod tests {
    use coracle_runtime::Usage;

    use super::*;

    #[test]
    fn containers_pods_and_the_node_are_summed_up() {
        let usage = Usage { cpu_ns: 7, memory_bytes: 9, ..Usage::default() };
        let container = || ContainerReading { name: "a".to_owned(), usage, ..ContainerReading::default() };
        let pod = PodReading { containers: vec![container(), container()], ..PodReading::default() };
        let found = summary("n1", &[pod], Timestamp::UNIX_EPOCH);
        assert_eq!(found["node"]["cpu"]["usageCoreNanoSeconds"], 14);
        assert_eq!(found["pods"][0]["memory"]["workingSetBytes"], 18);
        assert_eq!(found["pods"][0]["containers"][1]["memory"]["usageBytes"], 9);
    }
}
