//! The revisions of a deployment, as its replica sets keep them. Pure.

use serde_json::Value;

use crate::discovery::{array, text};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// One revision: its number, why it was made, and its pods.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) number: u64,
    pub(super) cause: String,
    pub(super) template: Value,
}

/// The revisions of `deployment`, oldest first.
pub(super) fn revisions(deployment: &Value, replica_sets: &[Value]) -> Vec<Revision> {
    let uid = &deployment["metadata"]["uid"];
    let owned = |set: &&Value| array(&set["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == *uid);
    let mut revisions: Vec<Revision> = replica_sets.iter().filter(owned).filter_map(revision).collect();
    revisions.sort_by_key(|revision| revision.number);
    revisions
}

fn revision(replica_set: &Value) -> Option<Revision> {
    let annotations = &replica_set["metadata"]["annotations"];
    let number = text(&annotations[REVISION]).parse().ok()?;
    let cause = annotations[CHANGE_CAUSE].as_str().unwrap_or("<none>").to_owned();
    let mut template = replica_set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(TEMPLATE_HASH);
    }
    Some(Revision { number, cause, template })
}

/// The revision of this number, or the last but one for 0.
pub(super) fn target(revisions: &[Revision], number: u64) -> Option<&Revision> {
    match number {
        0 => revisions.len().checked_sub(2).and_then(|idx| revisions.get(idx)),
        number => revisions.iter().find(|revision| revision.number == number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replica_set(owner: &str, number: &str) -> Value {
        let template = json!({"metadata": {"labels": {"app": "web", TEMPLATE_HASH: number}}});
        let metadata = json!({"annotations": {REVISION: number}, "ownerReferences": [{"uid": owner}]});
        json!({"metadata": metadata, "spec": {"template": template}})
    }

    #[test]
    fn the_revision_before_is_the_last_but_one() {
        let deployment = json!({"metadata": {"uid": "u"}});
        let sets = [replica_set("u", "10"), replica_set("u", "9"), replica_set("other", "11"), replica_set("u", "2")];
        let revisions = revisions(&deployment, &sets);
        assert_eq!(revisions.iter().map(|revision| revision.number).collect::<Vec<_>>(), [2, 9, 10]);
        assert_eq!(target(&revisions, 0).unwrap().number, 9);
        assert_eq!(target(&revisions, 2).unwrap().template, json!({"metadata": {"labels": {"app": "web"}}}));
        assert_eq!(target(&revisions, 3), None);
        assert_eq!(target(&revisions[..1], 0), None);
    }
}
