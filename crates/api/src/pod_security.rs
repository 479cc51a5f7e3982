//! The Pod Security Standards: what a namespace's labels ask for, and what of a pod does not meet it. Pure functions;
//! the API server enforces and warns.

use std::fmt;

use serde_json::Value;

use crate::validation::FieldError;

mod baseline;
mod containers;
mod restricted;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// The version that `latest` means, as the minor of 1.x.
const LATEST: u32 = u32::MAX;

/// How strict a namespace is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// A level as it was in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    /// The minor version.
    minor: u32,
}

impl Default for Standard {
    fn default() -> Self {
        Self { level: Level::default(), minor: LATEST }
    }
}

impl Standard {
    /// True when whatever meets this one meets `other`, by their levels alone.
    pub fn covers(&self, other: &Self) -> bool {
        self.minor == other.minor && self.level >= other.level
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.minor {
            LATEST => write!(f, "{level}:latest"),
            minor => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub warn: Standard,
}

/// The policy of a namespace with these labels, and what is wrong with them. Where something is, pods are refused
/// rather than let in.
pub fn policy(labels: &Value) -> (Policy, Vec<FieldError>) {
    let (mut policy, mut errors) = (Policy::default(), Vec::new());
    let enforce = level(labels, "enforce", &mut errors);
    policy.enforce.level = enforce.unwrap_or(Some(Level::Restricted)).unwrap_or_default();
    policy.enforce.minor = version(labels, "enforce-version", &mut errors);
    let _ = (level(labels, "audit", &mut errors), version(labels, "audit-version", &mut errors));
    let warn = level(labels, "warn", &mut errors);
    policy.warn.level = warn.ok().flatten().unwrap_or_default();
    policy.warn.minor = version(labels, "warn-version", &mut errors);
    let enforces = matches!(enforce, Ok(Some(_)));
    if warn == Ok(None) && enforces && policy.enforce.level > policy.warn.level {
        policy.warn = policy.enforce;
    }
    (policy, errors)
}

/// The level that a label names. An unknown one is an error of its own.
fn level(labels: &Value, label: &str, errors: &mut Vec<FieldError>) -> Result<Option<Level>, ()> {
    let key = format!("{PREFIX}{label}");
    let Some(text) = labels.get(&key).and_then(Value::as_str) else { return Ok(None) };
    match text {
        "privileged" => Ok(Some(Level::Privileged)),
        "baseline" => Ok(Some(Level::Baseline)),
        "restricted" => Ok(Some(Level::Restricted)),
        _ => {
            let detail = "must be one of privileged, baseline, restricted";
            errors.push(FieldError::invalid(format!("metadata.labels[{key}]"), &text.into(), detail));
            Err(())
        }
    }
}

fn version(labels: &Value, label: &str, errors: &mut Vec<FieldError>) -> u32 {
    let key = format!("{PREFIX}{label}");
    let Some(text) = labels.get(&key).and_then(Value::as_str).filter(|text| *text != "latest") else { return LATEST };
    let digits = text.strip_prefix("v1.").unwrap_or_default();
    let plain = digits == "0" || (!digits.starts_with(['0', '+']) && !digits.is_empty());
    digits.parse().ok().filter(|_| plain).unwrap_or_else(|| {
        let detail = "must be \"latest\" or \"v1.x\"";
        errors.push(FieldError::invalid(format!("metadata.labels[{key}]"), &text.into(), detail));
        LATEST
    })
}

/// One thing that a pod must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    reason: String,
    detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}

/// What of a pod, or a template, does not meet a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Of the object with this `metadata` and `spec`.
    pub fn of(standard: Standard, metadata: &Value, spec: &Value) -> Self {
        let pod = Pod { metadata, spec, minor: standard.minor };
        let strict = standard.level == Level::Restricted;
        let applies = |check: &&Check| match check.scope {
            Scope::Both => standard.level >= Level::Baseline,
            Scope::BaselineOnly => standard.level == Level::Baseline,
            Scope::Restricted => strict,
        };
        let checks = CHECKS.iter().filter(applies).filter(|check| check.since <= standard.minor);
        Self(checks.filter_map(|check| (check.check)(&pod)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `host namespaces, privileged`.
    pub fn reasons(&self) -> String {
        self.0.iter().map(|violation| violation.reason.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Violation { reason, detail }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match detail.as_str() {
                "" => write!(f, "{comma}{reason}")?,
                detail => write!(f, "{comma}{reason} ({detail})")?,
            }
        }
        Ok(())
    }
}

/// What a check looks at.
struct Pod<'p> {
    metadata: &'p Value,
    spec: &'p Value,
    minor: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Both,
    /// A stricter check takes its place where the level is restricted.
    BaselineOnly,
    Restricted,
}

struct Check {
    since: u32,
    scope: Scope,
    check: fn(&Pod<'_>) -> Option<Violation>,
}

const fn check(since: u32, scope: Scope, check: fn(&Pod<'_>) -> Option<Violation>) -> Check {
    Check { since, scope, check }
}

/// In the order of upstream's names for them.
const CHECKS: [Check; 18] = [
    check(8, Scope::Restricted, restricted::privilege_escalation),
    check(0, Scope::Both, baseline::apparmor),
    check(0, Scope::BaselineOnly, baseline::capabilities),
    check(22, Scope::Restricted, restricted::capabilities),
    check(0, Scope::Both, baseline::host_namespaces),
    check(0, Scope::BaselineOnly, baseline::host_paths),
    check(0, Scope::Both, baseline::host_ports),
    check(34, Scope::Both, baseline::host_probes),
    check(0, Scope::Both, baseline::privileged),
    check(0, Scope::Both, baseline::proc_mount),
    check(0, Scope::Restricted, restricted::volumes),
    check(0, Scope::Restricted, restricted::run_as_non_root),
    check(23, Scope::Restricted, restricted::run_as_user),
    check(0, Scope::Both, baseline::selinux),
    check(19, Scope::BaselineOnly, baseline::seccomp),
    check(19, Scope::Restricted, restricted::seccomp),
    check(0, Scope::Both, baseline::sysctls),
    check(0, Scope::Both, baseline::host_process),
];

#[cfg(test)]
mod tests;
