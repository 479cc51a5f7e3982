//! What `coracle up` tells its user: each step as it completes, with the time it took.

use std::io::Write;
use std::time::Instant;

/// Prints one line for each completed step.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    last: Instant,
}

impl Steps {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last: now }
    }

    /// Says that a step is done. Standard output may be closed: a cluster does not end because nobody reads.
    pub(crate) fn done(&mut self, what: impl std::fmt::Display) {
        let now = Instant::now();
        // Only text is padded: what is formatted later is not.
        let what = what.to_string();
        say(format_args!("  {what:<58} {:>6} ms", (now - self.last).as_millis()));
        self.last = now;
    }

    /// Says that everything is there, and how to reach it.
    pub(crate) fn ready(&self, kubeconfig: &std::path::Path) {
        say(format_args!("\nReady in {} ms. To use it:\n", self.started.elapsed().as_millis()));
        say(format_args!("  export KUBECONFIG={}\n", kubeconfig.display()));
    }
}

pub(crate) fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
