//! What a loop did, counted and timed, and its text for Prometheus, by the names that Kubernetes' work queues have.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in seconds, as upstream has them.
const BUCKETS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// Durations by their size, as they come in.
#[derive(Default)]
pub(super) struct Timer {
    buckets: [AtomicU64; BUCKETS.len()],
    n: AtomicU64,
    sum_us: AtomicU64,
}

/// Durations by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS.len()],
    pub n: u64,
    pub sum: Duration,
}

/// What a loop has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopMetrics {
    pub name: &'static str,
    /// Keys that wait now.
    pub n_waiting: usize,
    /// Keys that were asked for and did not wait already.
    pub n_added: u64,
    pub n_reconciles: u64,
    pub n_errors: u64,
    /// Looks that were put off: after a failure, or because time alone changes something.
    pub n_retries: u64,
    /// How long keys waited for a worker.
    pub waits: Histogram,
    /// How long reconciles took, waiting for the API included.
    pub works: Histogram,
}

impl Timer {
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.n.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Histogram {
        Histogram {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            n: self.n.load(Ordering::Relaxed),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

/// The exposition text of all loops.
pub(crate) fn render(loops: &[LoopMetrics]) -> String {
    type Count = fn(&LoopMetrics) -> u64;
    let counts: [(&str, &str, &str, Count); 5] = [
        ("workqueue_depth", "gauge", "Current depth of workqueue", |l| l.n_waiting as u64),
        ("workqueue_adds_total", "counter", "Total number of adds handled by workqueue", |l| l.n_added),
        ("workqueue_retries_total", "counter", "Total number of retries handled by workqueue", |l| l.n_retries),
        ("coracle_controller_reconciles_total", "counter", "Looks at an object.", |l| l.n_reconciles),
        ("coracle_controller_errors_total", "counter", "Looks at an object that failed.", |l| l.n_errors),
    ];
    let mut out = String::with_capacity(64 << 10);
    for (name, kind, help, count) in counts {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for of in loops {
            let _ = writeln!(out, "{name}{{name=\"{}\"}} {}", of.name, count(of));
        }
    }
    let waits = "How long in seconds an item stays in workqueue before being requested.";
    render_histogram(&mut out, "workqueue_queue_duration_seconds", waits, loops, |l| &l.waits);
    let works = "How long in seconds processing an item from workqueue takes.";
    render_histogram(&mut out, "workqueue_work_duration_seconds", works, loops, |l| &l.works);
    out
}

fn render_histogram(
    out: &mut String,
    name: &str,
    help: &str,
    loops: &[LoopMetrics],
    of: impl Fn(&LoopMetrics) -> &Histogram,
) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
    for one in loops {
        let (histogram, label, mut total) = (of(one), one.name, 0);
        for (bound, n) in BUCKETS.iter().zip(histogram.buckets) {
            total += n;
            let _ = writeln!(out, "{name}_bucket{{name=\"{label}\",le=\"{bound:e}\"}} {total}");
        }
        let _ = writeln!(out, "{name}_bucket{{name=\"{label}\",le=\"+Inf\"}} {}", histogram.n);
        let _ = writeln!(out, "{name}_sum{{name=\"{label}\"}} {}", histogram.sum.as_secs_f64());
        let _ = writeln!(out, "{name}_count{{name=\"{label}\"}} {}", histogram.n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_told_by_the_names_of_kubernetes() {
        let timer = Timer::default();
        [1, 20, 3000].iter().for_each(|millis| timer.observe(Duration::from_millis(*millis)));
        let works = timer.read();
        let metrics = LoopMetrics {
            name: "deployment",
            n_waiting: 2,
            n_added: 9,
            n_reconciles: 7,
            n_errors: 1,
            n_retries: 3,
            waits: Histogram::default(),
            works,
        };
        let text = render(&[metrics]);
        for line in [
            "workqueue_depth{name=\"deployment\"} 2",
            "workqueue_adds_total{name=\"deployment\"} 9",
            "workqueue_retries_total{name=\"deployment\"} 3",
            "coracle_controller_errors_total{name=\"deployment\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"deployment\",le=\"1e-3\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"deployment\",le=\"1e-1\"} 2",
            "workqueue_work_duration_seconds_count{name=\"deployment\"} 3",
            "workqueue_work_duration_seconds_sum{name=\"deployment\"} 3.021",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
    }
}
