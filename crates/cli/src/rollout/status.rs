//! How far a rollout is, read from the deployment alone. Pure.

use std::fmt;

use anyhow::bail;
use serde_json::Value;

use crate::discovery::{array, text};

/// Where a rollout stands, in kubectl's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Unobserved,
    Updating { name: String, n_updated: i64, n_wanted: i64 },
    Ending { name: String, n_old: i64 },
    Starting { name: String, n_available: i64, n_updated: i64 },
    Complete { name: String },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unobserved => f.write_str("Waiting for deployment spec update to be observed..."),
            Self::Updating { name, n_updated, n_wanted } => write!(
                f,
                "Waiting for deployment {name:?} rollout to finish: {n_updated} out of {n_wanted} new replicas have been updated..."
            ),
            Self::Ending { name, n_old } => write!(
                f,
                "Waiting for deployment {name:?} rollout to finish: {n_old} old replicas are pending termination..."
            ),
            Self::Starting { name, n_available, n_updated } => write!(
                f,
                "Waiting for deployment {name:?} rollout to finish: {n_available} of {n_updated} updated replicas are available..."
            ),
            Self::Complete { name } => write!(f, "deployment {name:?} successfully rolled out"),
        }
    }
}

/// Reads a deployment's progress; an error when it gave up.
pub(super) fn progress(deployment: &Value) -> anyhow::Result<Progress> {
    let name = text(&deployment["metadata"]["name"]).to_owned();
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    let n = |field: &str| status[field].as_i64().unwrap_or(0);
    if deployment["metadata"]["generation"].as_i64().unwrap_or(0) > n("observedGeneration") {
        return Ok(Progress::Unobserved);
    }
    let progressing = array(&status["conditions"]).find(|condition| condition["type"] == "Progressing");
    if let Some(condition) = progressing.filter(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        bail!(
            "deployment {name:?} exceeded its progress deadline: {}; `coracle get pods` shows which pods hold it up",
            text(&condition["message"])
        );
    }
    let n_wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (n_updated, n_all, n_available) = (n("updatedReplicas"), n("replicas"), n("availableReplicas"));
    Ok(if n_updated < n_wanted {
        Progress::Updating { name, n_updated, n_wanted }
    } else if n_all > n_updated {
        Progress::Ending { name, n_old: n_all - n_updated }
    } else if n_available < n_updated {
        Progress::Starting { name, n_available, n_updated }
    } else {
        Progress::Complete { name }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: Value) -> String {
        let deployment =
            json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status});
        progress(&deployment).map_or_else(|error| error.to_string(), |progress| progress.to_string())
    }

    #[test]
    fn a_rollout_passes_its_stages() {
        let waiting = |rest: &str| format!("Waiting for deployment \"web\" rollout to finish: {rest}...");
        let status = |all: u32, updated: u32, available: u32| {
            told(json!({
                "observedGeneration": 2, "replicas": all, "updatedReplicas": updated, "availableReplicas": available,
            }))
        };
        assert_eq!(told(json!({"observedGeneration": 1})), "Waiting for deployment spec update to be observed...");
        assert_eq!(status(4, 1, 3), waiting("1 out of 3 new replicas have been updated"));
        assert_eq!(status(4, 3, 3), waiting("1 old replicas are pending termination"));
        assert_eq!(status(3, 3, 2), waiting("2 of 3 updated replicas are available"));
        assert_eq!(status(3, 3, 3), "deployment \"web\" successfully rolled out");
    }

    #[test]
    fn a_rollout_that_gave_up_is_an_error() {
        let condition = json!({"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"});
        let told = told(json!({"observedGeneration": 2, "conditions": [condition]}));
        assert!(told.starts_with("deployment \"web\" exceeded its progress deadline: timed out"), "{told}");
    }
}
