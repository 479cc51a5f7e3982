//! Whether a pod may be evicted, and what that costs its budget. Pure; the time is given.

use coracle_api::kind::{Resource as Name, generation_of, name_of};
use coracle_api::selector;
use coracle_api::status::{Cause, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::time;

/// Evictions that a budget's controller has not confirmed.
const DISRUPTED_MAX: usize = 2000;
const KIND: Name<'static> = Name { group: "policy", name: "poddisruptionbudgets" };
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const CAUSE: &str = "DisruptionBudget";

/// What an eviction needs before it can go on.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Nothing stands in its way.
    Free,
    /// The pod is not ready and counts for nothing: it may go as long as it stays so.
    Unready,
    /// The budget of this name must allow it.
    Spend(String),
}

pub(super) fn judge(pod: &Value, budgets: &[Value]) -> Result<Verdict, Status> {
    if serves_nobody(pod) {
        return Ok(Verdict::Free);
    }
    let labels = &pod["metadata"]["labels"];
    let selects = |budget: &Value| {
        selector::from_label_selector(&budget["spec"]["selector"]).is_ok_and(|selector| selector.matches(labels))
    };
    let guards = |budget: &&Value| labels.is_object() && selects(budget);
    let guarding: Vec<&Value> = budgets.iter().filter(guards).collect();
    match guarding.as_slice() {
        [] => Ok(Verdict::Free),
        [budget] if !is_ready(pod) && lets_unready_go(budget) => Ok(Verdict::Unready),
        [budget] => Ok(Verdict::Spend(name_of(budget).to_owned())),
        _ => {
            let why =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            Err(Status::internal(why))
        }
    }
}

/// It ended, never began, or is on its way out.
fn serves_nobody(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || !pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn lets_unready_go(budget: &Value) -> bool {
    let (healthy, wanted) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || (healthy >= wanted && wanted > 0)
}

fn count(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or_default()
}

/// The budget after one more eviction.
pub(super) fn spend(budget: &Value, pod: &str, now: Timestamp) -> Result<Value, Status> {
    check(budget)?;
    let left = count(budget, "disruptionsAllowed") - 1;
    let mut spent = budget.clone();
    spent["status"]["disruptionsAllowed"] = json!(left);
    if left == 0 {
        close(&mut spent["status"], generation_of(budget), now);
    }
    if !spent["status"]["disruptedPods"].is_object() {
        spent["status"]["disruptedPods"] = json!({});
    }
    spent["status"]["disruptedPods"][pod] = json!(time(now));
    Ok(spent)
}

/// Says that the budget is used up.
fn close(status: &mut Value, generation: i64, now: Timestamp) {
    let conditions = status["conditions"].as_array_mut().into_iter().flatten();
    for condition in conditions.filter(|condition| condition["type"] == "DisruptionAllowed") {
        if condition["status"] != "False" {
            condition["lastTransitionTime"] = json!(time(now));
        }
        condition["status"] = json!("False");
        condition["reason"] = json!("InsufficientPods");
        condition["message"] = json!("");
        condition["observedGeneration"] = json!(generation);
    }
}

fn check(budget: &Value) -> Result<(), Status> {
    let name = name_of(budget);
    if count(budget, "observedGeneration") < generation_of(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::too_many_requests(REFUSED, 10).because(cause(why)));
    }
    let forbidden = |why: &str, told: &str| {
        let told = format!("The disruption budget {name} does not allow evicting pods currently: {told}");
        Err(Status::forbidden(KIND, name, why).because(cause(told)))
    };
    let allowed = count(budget, "disruptionsAllowed");
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return forbidden(why, why);
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return forbidden(why, "too many pending evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(Status::too_many_requests(REFUSED, 0).because(cause(used_up(budget))));
    }
    Ok(())
}

fn used_up(budget: &Value) -> String {
    let name = name_of(budget);
    let mut conditions = budget["status"]["conditions"].as_array().into_iter().flatten();
    let condition = conditions.find(|condition| condition["type"] == "DisruptionAllowed");
    if let Some(failed) = condition.filter(|condition| condition["reason"] == "SyncFailed") {
        let message = failed["message"].as_str().unwrap_or_default();
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        );
    }
    let (healthy, wanted) = (count(budget, "currentHealthy"), count(budget, "desiredHealthy"));
    format!("The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently")
}

fn cause(message: String) -> Cause {
    Cause { reason: CAUSE.to_owned(), message, field: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, ready: &str) -> Value {
        json!({"metadata": {"name": "p", "labels": {"app": "a"}},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn budget(name: &str, allowed: i64, healthy: i64) -> Value {
        json!({"metadata": {"name": name, "generation": 2}, "spec": {"selector": {"matchLabels": {"app": "a"}}},
            "status": {"observedGeneration": 2, "disruptionsAllowed": allowed, "currentHealthy": healthy,
                "desiredHealthy": 2, "conditions": [{"type": "DisruptionAllowed", "status": "True"}]}})
    }

    #[test]
    fn a_budget_guards_pods_that_serve() {
        let one = [budget("b", 1, 2)];
        assert_eq!(judge(&pod("Running", "True"), &one), Ok(Verdict::Spend("b".into())));
        assert_eq!(judge(&pod("Running", "True"), &[]), Ok(Verdict::Free));
        assert_eq!(judge(&pod("Pending", "False"), &one), Ok(Verdict::Free));
        assert_eq!(judge(&pod("Running", "False"), &one), Ok(Verdict::Unready));
        assert_eq!(judge(&pod("Running", "False"), &[budget("b", 0, 1)]), Ok(Verdict::Spend("b".into())));
        let always = {
            let mut budget = budget("b", 0, 1);
            budget["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
            budget
        };
        assert_eq!(judge(&pod("Running", "False"), &[always]), Ok(Verdict::Unready));
        assert_eq!(judge(&pod("Running", "True"), &[budget("b", 1, 2), budget("c", 1, 2)]).unwrap_err().code, 500);
    }

    #[test]
    fn an_eviction_is_counted_until_none_is_left() {
        let spent = spend(&budget("b", 1, 3), "p", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert_eq!(spent["status"]["disruptedPods"], json!({"p": "1970-01-01T00:00:00Z"}));
        assert_eq!(spent["status"]["conditions"][0]["reason"], "InsufficientPods");
        let refused = spend(&budget("b", 0, 2), "p", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(refused.code, 429);
        let cause = &refused.details.unwrap().causes[0];
        assert_eq!(cause.reason, "DisruptionBudget");
        assert_eq!(cause.message, "The disruption budget b needs 2 healthy pods and has 2 currently");
        let mut stale = budget("b", 1, 3);
        stale["metadata"]["generation"] = json!(3);
        assert_eq!(spend(&stale, "p", Timestamp::UNIX_EPOCH).unwrap_err().code, 429);
    }
}
