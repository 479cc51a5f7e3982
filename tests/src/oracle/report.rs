//! The figures of a run, by area, and the differences as unified diffs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value;

use super::{Differences, Outcome};

/// What became of every compared step.
#[derive(Debug)]
pub struct Report(Vec<Outcome>);

#[derive(Clone, Copy, Default)]
struct Count {
    alike: usize,
    all: usize,
}

impl Report {
    pub(super) fn new(outcomes: Vec<Outcome>) -> Self {
        Self(outcomes)
    }

    pub fn outcomes(&self) -> &[Outcome] {
        &self.0
    }

    /// Steps about our kinds that differ.
    pub fn differences(&self) -> impl Iterator<Item = &Outcome> {
        self.0.iter().filter(|outcome| outcome.ours && !outcome.alike())
    }

    /// Every difference in full, with the reason that the list gives.
    pub fn diffs(&self, known: &Differences) -> String {
        let mut text = String::new();
        for outcome in self.differences() {
            let reason = known.reason(outcome).unwrap_or("not on the list");
            let (name, step) = (&outcome.scenario, outcome.step);
            let _ = writeln!(text, "DIFFERS {name} step {step} ({reason}): {}", outcome.asked);
            let (want, got) = (pretty(&outcome.want), pretty(&outcome.got));
            let diff = similar::TextDiff::from_lines(&want, &got);
            let _ = writeln!(text, "{}", diff.unified_diff().context_radius(2).header("kubernetes", "here"));
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut areas: BTreeMap<&str, [Count; 2]> = BTreeMap::new();
        let mut total = [Count::default(); 2];
        for outcome in &self.0 {
            let area = areas.entry(outcome.area()).or_default();
            for counts in [area, &mut total] {
                counts[0].add(outcome);
                if outcome.ours {
                    counts[1].add(outcome);
                }
            }
        }
        writeln!(f, "oracle: steps alike   {:>24} {:>24}", "of all", "of those about our kinds")?;
        for (area, [all, ours]) in areas.into_iter().chain([("total", total)]) {
            writeln!(f, "{area:<22}{all:>24} {ours:>24}")?;
        }
        Ok(())
    }
}

impl Count {
    fn add(&mut self, outcome: &Outcome) {
        self.all += 1;
        self.alike += usize::from(outcome.alike());
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = if self.all == 0 { 100.0 } else { 100.0 * self.alike as f64 / self.all as f64 };
        f.pad(&format!("{} of {} ({percent:.1} %)", self.alike, self.all))
    }
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
