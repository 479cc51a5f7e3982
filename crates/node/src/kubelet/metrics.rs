//! What the node and its containers use, in every form that is asked for: `/metrics` in Prometheus' text format, under
//! cAdvisor's names where it has one; kubelet's `/metrics/resource` and `/stats/summary`; and the objects of
//! `metrics.k8s.io`.

mod objects;
mod process;
mod reading;
mod resource;
mod summary;
mod text;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use coracle_runtime::http::{LATENCY_BOUNDS_S, Requests};
use jiff::Timestamp;
use serde_json::Value;

use self::reading::{ContainerReading, PodReading, read};
use self::text::{Kind, Text};
use super::Kubelet;
use crate::agent::Pods;

const TEXT: &str = "text/plain; version=0.0.4";

pub(super) async fn serve(State(pods): State<Arc<Pods>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT)], render(&read(&pods)))
}

pub(super) async fn resource(State(pods): State<Arc<Pods>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT)], resource::render(&read(&pods), Timestamp::now()))
}

pub(super) async fn summary(State(kubelet): State<Kubelet>) -> Json<Value> {
    Json(summary::summary(&kubelet.name, &read(&kubelet.pods), Timestamp::now()))
}

pub(super) async fn of_pods(State(pods): State<Arc<Pods>>) -> Json<Value> {
    Json(objects::pods(&read(&pods), Timestamp::now()))
}

pub(super) async fn of_node(State(kubelet): State<Kubelet>) -> Json<Value> {
    Json(objects::node(&kubelet.name, &read(&kubelet.pods), Timestamp::now()))
}

struct Metric<T> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&T) -> f64,
}

const OF_CONTAINERS: [Metric<ContainerReading>; 7] = [
    Metric {
        name: "container_cpu_usage_seconds_total",
        kind: Kind::Counter,
        help: "CPU time of the container's guests",
        value: |one| one.usage.cpu_ns as f64 / 1e9,
    },
    Metric {
        name: "container_memory_working_set_bytes",
        kind: Kind::Gauge,
        help: "Linear memories and tables of the container's guests, and what the host holds for them",
        value: |one| one.usage.memory_bytes as f64,
    },
    Metric {
        name: "container_memory_max_usage_bytes",
        kind: Kind::Gauge,
        help: "The most that it was since the container was started",
        value: |one| one.usage.memory_peak_bytes as f64,
    },
    Metric {
        name: "container_start_time_seconds",
        kind: Kind::Gauge,
        help: "When the container was started",
        value: |one| one.started_at.as_millisecond() as f64 / 1e3,
    },
    Metric {
        name: "coracle_container_instances",
        kind: Kind::Gauge,
        help: "Live instances of the container's module",
        value: |one| one.usage.n_instances as f64,
    },
    Metric {
        name: "coracle_container_requests_total",
        kind: Kind::Counter,
        help: "HTTP requests begun",
        value: |one| one.usage.n_requests as f64,
    },
    Metric {
        name: "coracle_container_restarts_total",
        kind: Kind::Counter,
        help: "How often the container was started again",
        value: |one| f64::from(one.n_restarts),
    },
];

const OF_REQUESTS: [Metric<Requests>; 4] = [
    Metric {
        name: "coracle_http_requests_in_flight",
        kind: Kind::Gauge,
        help: "HTTP requests that an instance is at work on",
        value: |requests| requests.in_flight as f64,
    },
    Metric {
        name: "coracle_http_requests_queued",
        kind: Kind::Gauge,
        help: "HTTP requests that wait for their turn",
        value: |requests| requests.queued as f64,
    },
    Metric {
        name: "coracle_http_received_bytes_total",
        kind: Kind::Counter,
        help: "Bytes read from HTTP connections",
        value: |requests| requests.bytes_in as f64,
    },
    Metric {
        name: "coracle_http_sent_bytes_total",
        kind: Kind::Counter,
        help: "Bytes written to HTTP connections",
        value: |requests| requests.bytes_out as f64,
    },
];

fn render(pods: &[PodReading]) -> String {
    let mut text = Text::default();
    text.metric("kubelet_running_pods", Kind::Gauge, "Pods of this node");
    text.value("kubelet_running_pods", "", pods.len());
    process::render(&mut text);
    let containers: Vec<(String, &ContainerReading)> = pods.iter().flat_map(labelled).collect();
    for Metric { name, kind, help, value } in &OF_CONTAINERS {
        text.metric(name, *kind, help);
        for (labels, one) in &containers {
            text.value(name, labels, value(one));
        }
    }
    let servers = containers.iter().filter_map(|(labels, one)| Some((labels.as_str(), one.requests.as_ref()?)));
    of_requests(&mut text, &servers.collect::<Vec<_>>());
    text.finish()
}

fn labelled(pod: &PodReading) -> impl Iterator<Item = (String, &ContainerReading)> {
    let pod_labels = format!("namespace=\"{}\",pod=\"{}\"", pod.namespace, pod.name);
    pod.containers.iter().map(move |one| (format!("{pod_labels},container=\"{}\"", one.name), one))
}

fn of_requests(text: &mut Text, servers: &[(&str, &Requests)]) {
    for Metric { name, kind, help, value } in &OF_REQUESTS {
        text.metric(name, *kind, help);
        for (labels, requests) in servers {
            text.value(name, labels, value(requests));
        }
    }
    text.metric("coracle_http_responses_total", Kind::Counter, "Answers by the class of their status");
    for (labels, requests) in servers {
        for (class, n) in (1..).zip(requests.n_answers) {
            text.value("coracle_http_responses_total", &format!("{labels},code=\"{class}xx\""), n);
        }
    }
    text.metric("coracle_http_faults_total", Kind::Counter, "Answers that the host gave in the guest's place");
    for (labels, requests) in servers {
        for (cause, n) in
            [("failed", requests.n_failed), ("overdue", requests.n_overdue), ("refused", requests.n_refused)]
        {
            text.value("coracle_http_faults_total", &format!("{labels},cause=\"{cause}\""), n);
        }
    }
    let name = "coracle_http_request_duration_seconds";
    text.metric(name, Kind::Histogram, "From a request's arrival to its answer's head");
    for (labels, requests) in servers {
        let latency = &requests.latency;
        text.histogram(name, labels, &LATENCY_BOUNDS_S, &latency.n_by_bucket, latency.sum_ns as f64 / 1e9);
    }
}

#[cfg(test)]
mod tests {
    use coracle_runtime::Usage;

    use super::*;

    fn pod(container: ContainerReading) -> PodReading {
        PodReading { namespace: "d".into(), name: "p".into(), containers: vec![container], ..PodReading::default() }
    }

    #[test]
    fn figures_are_told_per_container() {
        let usage = Usage { cpu_ns: 1_500_000_000, memory_bytes: 65536, ..Usage::default() };
        let text =
            render(&[pod(ContainerReading { name: "c".into(), n_restarts: 2, usage, ..ContainerReading::default() })]);
        assert!(text.contains("container_cpu_usage_seconds_total{namespace=\"d\",pod=\"p\",container=\"c\"} 1.5\n"));
        assert!(text.contains("coracle_container_restarts_total{namespace=\"d\",pod=\"p\",container=\"c\"} 2\n"));
        assert!(text.starts_with("# HELP kubelet_running_pods"));
        assert!(!text.contains("coracle_http_responses_total{"));
    }

    #[test]
    fn a_servers_requests_are_counted_by_class_and_time() {
        let mut requests = Requests { n_answers: [0, 3, 0, 0, 1], n_failed: 1, ..Requests::default() };
        requests.latency.n_by_bucket[1] = 3;
        requests.latency.n_by_bucket[LATENCY_BOUNDS_S.len()] = 1;
        requests.latency.sum_ns = 2_000_000_000;
        let container = ContainerReading { name: "c".into(), requests: Some(requests), ..ContainerReading::default() };
        let text = render(&[pod(container)]);
        let labels = "namespace=\"d\",pod=\"p\",container=\"c\"";
        for line in [
            format!("coracle_http_responses_total{{{labels},code=\"2xx\"}} 3\n"),
            format!("coracle_http_faults_total{{{labels},cause=\"failed\"}} 1\n"),
            format!("coracle_http_request_duration_seconds_bucket{{{labels},le=\"0.0005\"}} 0\n"),
            format!("coracle_http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 3\n"),
            format!("coracle_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 4\n"),
            format!("coracle_http_request_duration_seconds_sum{{{labels}}} 2\n"),
            format!("coracle_http_request_duration_seconds_count{{{labels}}} 4\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
