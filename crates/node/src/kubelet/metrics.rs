//! `/metrics`: what each container uses, in Prometheus' text format, under cAdvisor's names where it has one.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use coracle_runtime::Usage;

use crate::agent::{Handle, Pods};

const TEXT: &str = "text/plain; version=0.0.4";

/// One container's figures.
struct Row {
    labels: String,
    n_restarts: u32,
    usage: Usage,
}

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Row) -> f64,
}

const METRICS: [Metric; 5] = [
    Metric {
        name: "container_cpu_usage_seconds_total",
        kind: "counter",
        help: "CPU time of the container's guests",
        value: |row| row.usage.cpu_ns as f64 / 1e9,
    },
    Metric {
        name: "container_memory_working_set_bytes",
        kind: "gauge",
        help: "Linear memory and tables of the container's guests",
        value: |row| row.usage.memory_bytes as f64,
    },
    Metric {
        name: "coracle_container_instances",
        kind: "gauge",
        help: "Live instances of the container's module",
        value: |row| row.usage.n_instances as f64,
    },
    Metric {
        name: "coracle_container_requests_total",
        kind: "counter",
        help: "HTTP requests begun",
        value: |row| row.usage.n_requests as f64,
    },
    Metric {
        name: "coracle_container_restarts_total",
        kind: "counter",
        help: "How often the container was started again",
        value: |row| f64::from(row.n_restarts),
    },
];

pub(super) async fn serve(State(pods): State<Arc<Pods>>) -> impl IntoResponse {
    let all = pods.all();
    let rows: Vec<Row> = all.iter().flat_map(|handle| rows(handle)).collect();
    ([(CONTENT_TYPE, TEXT)], render(&rows, all.len()))
}

fn rows(handle: &Handle) -> Vec<Row> {
    let plan = handle.state.lock().plan.clone();
    let running = handle.running.lock();
    let row = |(idx, running): (&usize, &crate::agent::Running)| Row {
        labels: format!(
            "namespace=\"{}\",pod=\"{}\",container=\"{}\"",
            handle.key.namespace, handle.key.name, plan.containers[*idx].name
        ),
        n_restarts: running.attempt,
        usage: running.container.usage(),
    };
    running.iter().map(row).collect()
}

fn render(rows: &[Row], n_pods: usize) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes all");
    line(format_args!("# HELP kubelet_running_pods Pods of this node\n# TYPE kubelet_running_pods gauge"));
    line(format_args!("kubelet_running_pods {n_pods}"));
    for Metric { name, kind, help, value } in &METRICS {
        line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        for row in rows {
            line(format_args!("{name}{{{}}} {}", row.labels, value(row)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_per_container() {
        let usage = Usage { cpu_ns: 1_500_000_000, memory_bytes: 65536, n_instances: 1, n_requests: 7 };
        let row = Row { labels: "namespace=\"d\",pod=\"p\",container=\"c\"".into(), n_restarts: 2, usage };
        let text = render(&[row], 1);
        assert!(text.contains("container_cpu_usage_seconds_total{namespace=\"d\",pod=\"p\",container=\"c\"} 1.5\n"));
        assert!(text.contains("coracle_container_restarts_total{namespace=\"d\",pod=\"p\",container=\"c\"} 2\n"));
        assert!(text.starts_with("# HELP kubelet_running_pods"));
    }
}
