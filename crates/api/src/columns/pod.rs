//! Pods, with the one word that says how a pod does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Columns, age, name, number, or_none, text};

pub(crate) fn pod() -> Columns {
    Columns { conditions, ..Columns::of("Pod", cells) }
}

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let status = &pod["status"];
    let ready = format!("{}/{}", summary.ready, summary.total);
    vec![
        name(pod),
        json!(ready),
        json!(summary.reason),
        json!(restarts(&summary, now)),
        age(pod, now),
        or_none(text(&status["podIPs"][0]["ip"])),
        or_none(text(&pod["spec"]["nodeName"])),
        or_none(text(&status["nominatedNodeName"])),
        gates(pod),
    ]
}

fn restarts(summary: &Summary, now: Timestamp) -> String {
    match &summary.last_restart {
        Some(last) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, super::age::since(&json!(last), now))
        }
        Some(_) | None => summary.restarts.to_string(),
    }
}

fn gates(pod: &Value) -> Value {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return or_none("");
    }
    let met = gates.iter().filter(|gate| condition(pod, text(&gate["conditionType"])).is_some_and(is_true)).count();
    json!(format!("{met}/{}", gates.len()))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn condition<'v>(pod: &'v Value, kind: &str) -> Option<&'v Value> {
    list(&pod["status"]["conditions"]).iter().find(|c| c["type"] == kind)
}

fn is_true(condition: &Value) -> bool {
    condition["status"] == "True"
}

/// What the containers of a pod come to.
#[derive(Debug, Default)]
struct Summary {
    reason: String,
    ready: i64,
    total: usize,
    restarts: i64,
    last_restart: Option<String>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let mut summary = Self { reason: text(&pod["status"]["phase"]).to_owned(), ..Self::default() };
        if !text(&pod["status"]["reason"]).is_empty() {
            text(&pod["status"]["reason"]).clone_into(&mut summary.reason);
        }
        if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
            "SchedulingGated".clone_into(&mut summary.reason);
        }
        let sidecars = list(&pod["spec"]["initContainers"]).iter().filter(|c| c["restartPolicy"] == "Always").count();
        summary.total = list(&pod["spec"]["containers"]).len() + sidecars;
        let (initializing, sidecars) = summary.init_containers(pod);
        if !initializing || condition(pod, "Initialized").is_some_and(is_true) {
            (summary.restarts, summary.last_restart) = (sidecars.restarts, sidecars.last_restart);
            summary.containers(pod);
        }
        summary.deletion(pod);
        summary
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += number(&status["restartCount"]);
        let finished = text(&status["lastState"]["terminated"]["finishedAt"]);
        if !finished.is_empty() && self.last_restart.as_deref().is_none_or(|last| last < finished) {
            self.last_restart = Some(finished.to_owned());
        }
    }

    /// Whether the pod is still being initialized, and the restarts of its sidecars: they count for ever, those of others
    /// until then.
    fn init_containers(&mut self, pod: &Value) -> (bool, Self) {
        let specs = list(&pod["spec"]["initContainers"]);
        let is_sidecar = |name: &Value| specs.iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
        let mut sidecars = Self::default();
        for (i, status) in list(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
            self.count_restarts(status);
            let sidecar = is_sidecar(&status["name"]);
            if sidecar {
                sidecars.count_restarts(status);
            }
            let (terminated, waiting) = (&status["state"]["terminated"], &status["state"]["waiting"]);
            if !terminated.is_null() && number(&terminated["exitCode"]) == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += i64::from(status["ready"] == true);
                continue;
            }
            self.reason = match text(&waiting["reason"]) {
                _ if !terminated.is_null() => format!("Init:{}", ended(terminated)),
                "" | "PodInitializing" => format!("Init:{i}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            };
            return (true, sidecars);
        }
        (false, sidecars)
    }

    fn containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(&pod["status"]["containerStatuses"]).iter().rev() {
            self.count_restarts(status);
            let (terminated, waiting) = (&status["state"]["terminated"], &status["state"]["waiting"]);
            if !text(&waiting["reason"]).is_empty() {
                text(&waiting["reason"]).clone_into(&mut self.reason);
            } else if !terminated.is_null() {
                self.reason = ended(terminated);
            } else if status["ready"] == true && !status["state"]["running"].is_null() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready").is_some_and(is_true);
            (if ready { "Running" } else { "NotReady" }).clone_into(&mut self.reason);
        }
    }

    fn deletion(&mut self, pod: &Value) {
        let ended = matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded");
        if pod["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        if pod["status"]["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !ended {
            "Terminating".clone_into(&mut self.reason);
        }
    }
}

/// How a container ended: its reason, signal or exit code.
fn ended(terminated: &Value) -> String {
    match (text(&terminated["reason"]), number(&terminated["signal"])) {
        ("", 0) => format!("ExitCode:{}", number(&terminated["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn conditions(pod: &Value) -> Value {
    let (reason, message) = match text(&pod["status"]["phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Value::Null,
    };
    json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}])
}
