//! The list of known differences, `tests/oracle/differences.tsv`: `AREA/NAME`, step and reason, one a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Outcome, Report, corpus};

/// The reason of a step that depends on an object of a kind that is not served.
const MISSING_KIND: &str = "missing-kind";
/// What the list is written with where nobody has given a reason yet.
const UNEXPLAINED: &str = "unexplained";

/// Ends a reason that holds sometimes: whether the step differs depends on when it comes.
const SOMETIMES: char = '?';

/// How many steps of scenarios that wait may differ without a reason in one run.
const CAUGHT_ON_THE_WAY_MAX: usize = 2;

type Key = (String, usize);

/// Reasons by scenario and step.
#[derive(Debug, Default)]
pub struct Differences(BTreeMap<Key, String>);

/// How a run compares with the list.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// Steps that differ and are not on the list.
    pub new: Vec<&'a Outcome>,
    /// Lines of the list that say what is not so, and why not.
    pub stale: Vec<String>,
}

impl Differences {
    pub fn load() -> Result<Self> {
        let path = file();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let lines = text.lines().filter(|line| !line.is_empty());
        let entries = lines.map(|line| parse(line).with_context(|| format!("{}: {line:?}", path.display())));
        Ok(Self(entries.collect::<Result<_>>()?))
    }

    /// Every reason that the list gives.
    pub fn reasons(&self) -> BTreeSet<&str> {
        self.0.values().map(String::as_str).collect()
    }

    pub fn reason(&self, outcome: &Outcome) -> Option<&str> {
        self.0.get(&key(outcome)).map(String::as_str)
    }

    /// Compares a run of the scenarios whose name starts with `only` with the list.
    pub fn judge<'a>(&self, report: &'a Report, only: &str) -> Verdict<'a> {
        let by_key: BTreeMap<Key, &Outcome> = report.outcomes().iter().map(|outcome| (key(outcome), outcome)).collect();
        let differs = report.differences();
        let new = differs.filter(|outcome| self.reason(outcome).is_none()).collect();
        let mut stale = Vec::new();
        for ((scenario, step), reason) in self.0.iter().filter(|((scenario, _), _)| scenario.starts_with(only)) {
            let outcome = by_key.get(&(scenario.clone(), *step));
            if let Some(why) = stale_because(outcome.copied(), reason) {
                stale.push(format!("{scenario} {step} {reason}: {why}"));
            }
        }
        Verdict { new, stale }
    }

    /// Writes what a run of the scenarios whose name starts with `only` shows, with the reasons that are known.
    pub fn rewrite(mut self, report: &Report, only: &str) -> Result<()> {
        let old = std::mem::take(&mut self.0);
        for outcome in report.differences() {
            let known = old.get(&key(outcome)).filter(|reason| *reason != MISSING_KIND || outcome.beside_missing);
            let reason = known.map_or(if outcome.beside_missing { MISSING_KIND } else { UNEXPLAINED }, String::as_str);
            self.0.insert(key(outcome), reason.to_owned());
        }
        let stays = |scenario: &str, reason: &str| !scenario.starts_with(only) || reason.ends_with(SOMETIMES);
        self.0.extend(old.into_iter().filter(|((scenario, _), reason)| stays(scenario, reason)));
        let lines = self.0.iter().map(|((scenario, step), reason)| format!("{scenario}\t{step}\t{reason}\n"));
        fs::write(file(), lines.collect::<String>()).context("write the list of differences")
    }
}

impl Verdict<'_> {
    pub fn is_clean(&self) -> bool {
        let (waiting, plain): (Vec<&Outcome>, Vec<&Outcome>) = self.new.iter().partition(|outcome| outcome.waits);
        plain.is_empty() && waiting.len() <= CAUGHT_ON_THE_WAY_MAX && self.stale.is_empty()
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.new {
            writeln!(f, "differs without a reason: {} step {}: {}", outcome.scenario, outcome.step, outcome.asked)?;
            writeln!(f, "    recorded: {}\n    answered: {}", outcome.want, outcome.got)?;
        }
        for line in &self.stale {
            writeln!(f, "on the list of differences: {line}")?;
        }
        if self.new.is_empty() && self.stale.is_empty() {
            return Ok(());
        }
        write!(f, "`cargo xtask oracle AREA/NAME` shows a difference; with `--write` it rewrites the list")
    }
}

fn stale_because(outcome: Option<&Outcome>, reason: &str) -> Option<&'static str> {
    match outcome {
        None => Some("no such step is compared"),
        Some(outcome) if !outcome.ours => Some("the server does not serve its kind, which needs no line"),
        Some(outcome) if outcome.alike() => (!reason.ends_with(SOMETIMES)).then_some("the step is alike"),
        Some(outcome) if reason == MISSING_KIND && !outcome.beside_missing => Some("every kind of it is served"),
        Some(_) => None,
    }
}

fn key(outcome: &Outcome) -> Key {
    (outcome.scenario.clone(), outcome.step)
}

fn parse(line: &str) -> Result<(Key, String)> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().context("a line has a scenario, a step and a reason");
    Ok(((next()?.to_owned(), next()?.parse()?), next()?.to_owned()))
}

fn file() -> PathBuf {
    corpus::home().join("differences.tsv")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(step: usize, waits: bool, got: &str) -> Outcome {
        Outcome {
            scenario: "area/name".into(),
            step,
            asked: String::new(),
            ours: true,
            beside_missing: false,
            waits,
            want: json!("a"),
            got: json!(got),
        }
    }

    fn passes(outcomes: Vec<Outcome>) -> bool {
        Differences::default().judge(&Report::new(outcomes), "").is_clean()
    }

    #[test]
    fn a_difference_without_a_reason_fails_a_run() {
        assert!(passes(vec![outcome(0, false, "a")]));
        assert!(!passes(vec![outcome(0, false, "a"), outcome(1, false, "b")]));
    }

    #[test]
    fn very_few_steps_of_scenarios_that_wait_may_differ() {
        let differ = |n: usize| (0..n).map(|step| outcome(step, true, "b")).collect();
        assert!(passes(differ(CAUGHT_ON_THE_WAY_MAX)));
        assert!(!passes(differ(CAUGHT_ON_THE_WAY_MAX + 1)));
    }
}
