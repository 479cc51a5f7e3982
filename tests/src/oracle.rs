//! The oracle: replays exchanges that were recorded with a real API server against ours, and says what differs.
//!
//! `tests/oracle/scenarios/AREA/NAME.yaml` holds `{about: one line, steps: […]}`, and `tests/oracle/recorded/` what a real
//! server answered to each step. A scenario runs in a namespace of its own, `${ns}`. A step is one request:
//!
//! ```yaml
//! get|post|put|patch|delete: /path/with/${ns}     # the request; ${var} is a saved value
//! body: {…} or text     type: content type        headers: {…}     query: {…}
//! save: {var: jmespath}     # keep a value of the answer for later steps
//! until: jmespath           # repeat (up to 10 s) until this is truthy; the last answer is compared
//! pick: jmespath            # compare only this part of the body
//! managed: true             # compare managedFields also (dropped otherwise)
//! only: status              # compare the status code alone
//! setup: true               # not compared at all (a precondition)
//! ```
//!
//! or a watch: `{watch: /path, name: w, query: {…}}` starts it, `{collect: w, events: N}` compares its first N events and
//! ends it. What differs on every run is replaced before comparing ([`plain`]). Scenarios run side by side.
//!
//! A step about a kind that the server does not advertise is not asked about. Every other difference stands in
//! `tests/oracle/differences.tsv` with a reason that `docs/differences.md` explains, or is a bug. A run passes with very few
//! others in scenarios that wait or watch, and shows them: 3,000 steps side by side now and then catch an object on its way.

mod ask;
mod corpus;
mod differences;
mod path;
mod plain;
mod report;
mod run;
mod serves;
mod step;

use anyhow::Result;

pub use corpus::{Scenario, load};
pub use differences::{Differences, Verdict};
pub use report::Report;

/// How many scenarios run at a time: they wait more than they work.
const SCENARIOS_MAX: usize = 24;

/// What became of one compared step.
#[derive(Debug)]
pub struct Outcome {
    /// `AREA/NAME`.
    pub scenario: String,
    pub step: usize,
    /// The step as a line of JSON, without its body.
    pub asked: String,
    /// True when the server serves the kind that the step is about.
    pub ours: bool,
    /// True when an earlier or later step of the scenario is about a kind that is not served.
    pub beside_missing: bool,
    /// True when the scenario waits for something or watches: what it catches of that depends on the moment.
    pub waits: bool,
    pub want: serde_json::Value,
    pub got: serde_json::Value,
}

impl Outcome {
    pub fn alike(&self) -> bool {
        self.want == self.got
    }

    fn area(&self) -> &str {
        self.scenario.split('/').next().unwrap_or_default()
    }
}

/// Replays the scenarios whose name starts with `only` against the server of a kubeconfig.
pub fn replay(kubeconfig: &std::path::Path, only: &str) -> Result<Report> {
    let scenarios = load(only)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcomes = runtime.block_on(run::all(kubeconfig, &scenarios, SCENARIOS_MAX))?;
    Ok(Report::new(outcomes))
}
