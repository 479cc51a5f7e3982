//! Prometheus' text format. Values are labelled by whoever has them; names need no quoting here, as they are DNS names.

use std::fmt::{Display, Write};

/// What is being written.
#[derive(Default)]
pub(super) struct Text(String);

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Text {
    /// Begins a metric. What follows are its values.
    pub(super) fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    pub(super) fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        match labels {
            "" => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    /// A histogram whose buckets are not cumulative yet. There is one more of them than bounds.
    pub(super) fn histogram(&mut self, name: &str, labels: &str, bounds: &[f64], counts: &[u64], sum: f64) {
        let mut n = 0;
        let bounds = bounds.iter().map(ToString::to_string).chain([String::from("+Inf")]);
        for (bound, count) in bounds.zip(counts) {
            n += count;
            self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {n}"));
        }
        self.line(format_args!("{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {n}"));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes all");
    }
}
