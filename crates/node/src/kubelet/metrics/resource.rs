//! `/metrics/resource`: kubelet's short list for the metrics server, in Prometheus' text format.

use jiff::Timestamp;

use super::reading::{PodReading, Total};
use super::text::{Kind, Text};

pub(super) fn render(pods: &[PodReading], now: Timestamp) -> String {
    let mut text = Text::default();
    let at = now.as_millisecond();
    containers(&mut text, pods, at);
    for_pods(&mut text, pods, at);
    let total = Total::of(pods.iter().flat_map(|pod| &pod.containers));
    text.metric("node_cpu_usage_seconds_total", Kind::Counter, "CPU time of the node's guests");
    text.value("node_cpu_usage_seconds_total", "", format_args!("{} {at}", seconds(total.cpu_ns)));
    text.metric("node_memory_working_set_bytes", Kind::Gauge, "Memory of the node's guests");
    text.value("node_memory_working_set_bytes", "", format_args!("{} {at}", total.memory_bytes));
    text.metric("scrape_error", Kind::Gauge, "1 if there was an error while getting container metrics, 0 otherwise");
    text.value("scrape_error", "", 0);
    text.finish()
}

fn containers(text: &mut Text, pods: &[PodReading], at: i64) {
    let labelled = || {
        pods.iter().flat_map(|pod| {
            let labels = |name: &str| format!("container=\"{name}\",{}", pod_labels(pod));
            pod.containers.iter().map(move |one| (labels(&one.name), one))
        })
    };
    text.metric("container_cpu_usage_seconds_total", Kind::Counter, "CPU time of the container's guests");
    for (labels, one) in labelled() {
        let value = format_args!("{} {at}", seconds(one.usage.cpu_ns)).to_string();
        text.value("container_cpu_usage_seconds_total", &labels, value);
    }
    text.metric("container_memory_working_set_bytes", Kind::Gauge, "Memory of the container's guests");
    for (labels, one) in labelled() {
        text.value("container_memory_working_set_bytes", &labels, format_args!("{} {at}", one.usage.memory_bytes));
    }
    text.metric("container_start_time_seconds", Kind::Gauge, "When the container was started");
    for (labels, one) in labelled() {
        text.value("container_start_time_seconds", &labels, one.started_at.as_millisecond() as f64 / 1e3);
    }
}

fn for_pods(text: &mut Text, pods: &[PodReading], at: i64) {
    let running = || pods.iter().filter(|pod| !pod.containers.is_empty());
    text.metric("pod_cpu_usage_seconds_total", Kind::Counter, "CPU time of the pod's guests");
    for pod in running() {
        let value = seconds(Total::of(&pod.containers).cpu_ns);
        text.value("pod_cpu_usage_seconds_total", &pod_labels(pod), format_args!("{value} {at}"));
    }
    text.metric("pod_memory_working_set_bytes", Kind::Gauge, "Memory of the pod's guests");
    for pod in running() {
        let value = Total::of(&pod.containers).memory_bytes;
        text.value("pod_memory_working_set_bytes", &pod_labels(pod), format_args!("{value} {at}"));
    }
}

fn pod_labels(pod: &PodReading) -> String {
    format!("namespace=\"{}\",pod=\"{}\"", pod.namespace, pod.name)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use coracle_runtime::Usage;

    use super::super::reading::ContainerReading;
    use super::*;

    #[test]
    fn values_have_the_time_at_which_they_were_read() {
        let usage = Usage { cpu_ns: 1_500_000_000, memory_bytes: 9, ..Usage::default() };
        let container = ContainerReading { name: "a".into(), usage, ..ContainerReading::default() };
        let pod = PodReading {
            namespace: "d".into(),
            name: "p".into(),
            containers: vec![container],
            ..PodReading::default()
        };
        let text = render(&[pod], Timestamp::from_millisecond(1500).unwrap());
        for line in [
            "container_cpu_usage_seconds_total{container=\"a\",namespace=\"d\",pod=\"p\"} 1.5 1500\n",
            "pod_memory_working_set_bytes{namespace=\"d\",pod=\"p\"} 9 1500\n",
            "node_cpu_usage_seconds_total 1.5 1500\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
