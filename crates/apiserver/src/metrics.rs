//! What the server did, counted and timed, printed for Prometheus.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By resource (`group/resource/subresource`), then by verb and code.
    requests: Mutex<HashMap<String, ByVerb>>,
    pub(crate) connections: Gauge,
    /// Bytes of objects that watches have read and their clients have not taken.
    pub(crate) watch_bytes: Gauge,
    /// What others of this process tell, as text.
    others: Others,
}

type Text = Box<dyn Fn() -> String + Send + Sync>;

#[derive(Default)]
struct Others(Mutex<Vec<Text>>);

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Others").finish_non_exhaustive()
    }
}

/// By verb and code.
type ByVerb = HashMap<(&'static str, u16), Series>;

#[derive(Debug, Default)]
struct Series {
    count: u64,
    sum: Duration,
    buckets: [u64; BUCKETS.len()],
}

/// A number that rises and falls with what it counts.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicUsize);

impl Gauge {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one, unless there are `max` already.
    pub(crate) fn try_add(&self, max: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
    }

    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, n: usize) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts one answer.
    pub(crate) fn observe(&self, resource: &str, verb: &'static str, code: u16, took: Duration) {
        let mut requests = self.requests.lock();
        if !requests.contains_key(resource) {
            requests.insert(resource.to_owned(), HashMap::new());
        }
        let series = requests.get_mut(resource).expect("it was just inserted").entry((verb, code)).or_default();
        series.count += 1;
        series.sum += took;
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket] += 1;
        }
    }

    /// The exposition text. `gauges` are numbers that live elsewhere: name, help, value.
    pub(crate) fn render(&self, gauges: &[(&str, &str, u64)]) -> String {
        let mut out = String::with_capacity(16 << 10);
        self.render_requests(&mut out);
        let own = [
            ("apiserver_connections", "Connections that are open.", self.connections.get() as u64),
            ("coracle_watch_bytes_held", "Bytes that watches hold for their clients.", self.watch_bytes.get() as u64),
        ];
        for (name, help, value) in own.iter().chain(gauges) {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        self.others.0.lock().iter().for_each(|other| out.push_str(&other()));
        out
    }

    pub(crate) fn add(&self, other: Text) {
        self.others.0.lock().push(other);
    }

    fn render_requests(&self, out: &mut String) {
        let requests = self.requests.lock();
        let mut lines: Vec<(String, &Series)> = Vec::new();
        for (resource, by_verb) in requests.iter() {
            let mut parts = resource.splitn(3, '/').map(escape);
            let mut next = || parts.next().unwrap_or_default();
            let (group, resource, subresource) = (next(), next(), next());
            for ((verb, code), series) in by_verb {
                let labels = format!(
                    "verb=\"{verb}\",group=\"{group}\",resource=\"{resource}\",subresource=\"{subresource}\",code=\"{code}\""
                );
                lines.push((labels, series));
            }
        }
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        out.push_str("# HELP apiserver_request_total Answers by verb, resource and code.\n");
        out.push_str("# TYPE apiserver_request_total counter\n");
        for (labels, series) in &lines {
            let _ = writeln!(out, "apiserver_request_total{{{labels}}} {}", series.count);
        }
        out.push_str("# HELP apiserver_request_duration_seconds How long answers took.\n");
        out.push_str("# TYPE apiserver_request_duration_seconds histogram\n");
        for (labels, series) in &lines {
            render_histogram(out, labels, series);
        }
    }
}

fn render_histogram(out: &mut String, labels: &str, series: &Series) {
    let name = "apiserver_request_duration_seconds";
    let mut total = 0;
    for (bound, n) in BUCKETS.iter().zip(series.buckets) {
        total += n;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", series.count);
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", series.sum.as_secs_f64());
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", series.count);
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_verb_resource_and_code() {
        let metrics = Metrics::default();
        for millis in [1, 3, 40_000] {
            metrics.observe("apps/deployments/scale", "patch", 200, Duration::from_millis(millis));
        }
        metrics.add(Box::new(|| "workqueue_depth{name=\"job\"} 3\n".to_owned()));
        let text = metrics.render(&[("store_revision", "The newest revision.", 7)]);
        let labels = "verb=\"patch\",group=\"apps\",resource=\"deployments\",subresource=\"scale\",code=\"200\"";
        for line in [
            format!("apiserver_request_total{{{labels}}} 3"),
            format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 2"),
            format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
            "store_revision 7".to_owned(),
            "workqueue_depth{name=\"job\"} 3".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_gauge_stops_at_its_bound() {
        let gauge = Gauge::default();
        assert!(gauge.try_add(1) && !gauge.try_add(1));
        gauge.subtract(1);
        assert!(gauge.try_add(1));
    }
}
