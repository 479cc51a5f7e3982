//! What a failed pod means for its job, by the job's policy.

use k8s_openapi::api::batch::v1::{Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// What a policy makes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Count,
    Ignore,
    FailIndex,
    /// The job fails, for this reason.
    FailJob(String),
}

impl Meaning {
    pub(super) fn is_counted(&self) -> bool {
        *self != Self::Ignore
    }
}

pub(super) fn meaning(job: &Job, pod: &Pod) -> Meaning {
    let rules = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref()).map(|policy| &policy.rules);
    let mut found = rules.into_iter().flatten().enumerate().filter_map(|(idx, rule)| of_rule(idx, rule, pod));
    found.next().unwrap_or(Meaning::Count)
}

fn of_rule(idx: usize, rule: &PodFailurePolicyRule, pod: &Pod) -> Option<Meaning> {
    let why = match &rule.on_exit_codes {
        Some(codes) => on_exit_codes(codes, pod)?,
        None => on_conditions(rule, pod)?,
    };
    Some(match rule.action.as_str() {
        "Ignore" => Meaning::Ignore,
        "FailIndex" => Meaning::FailIndex,
        "FailJob" => Meaning::FailJob(format!("{why} matching FailJob rule at index {idx}")),
        _ => Meaning::Count,
    })
}

fn full_name(pod: &Pod) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name))
}

fn on_exit_codes(codes: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let all = containers.chain(status.init_container_statuses.iter().flatten());
    let code = |container: &ContainerStatus| {
        let is_named = codes.container_name.as_ref().is_none_or(|name| *name == container.name);
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let is_listed = codes.values.contains(&code);
        let is_match = if codes.operator == "In" { is_listed } else { !is_listed };
        (is_named && code != 0 && is_match).then_some(code)
    };
    let (container, code) = all.into_iter().find_map(|container| Some((&container.name, code(container)?)))?;
    Some(format!("Container {container} for pod {} failed with exit code {code}", full_name(pod)))
}

fn on_conditions(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let condition = conditions.find(|condition| {
        let is_status = |status: &Option<String>| status.as_deref().unwrap_or("True") == condition.status;
        patterns.iter().any(|pattern| pattern.type_ == condition.type_ && is_status(&pattern.status))
    })?;
    Some(format!("Pod {} has condition {}", full_name(pod), condition.type_))
}
