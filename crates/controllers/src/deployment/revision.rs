//! Which ReplicaSet is which revision of a Deployment: template hash, revision numbers and annotations.

use coracle_api::spew;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use crate::labels::Labels;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const HISTORY_CHARS_MAX: usize = 2000;

/// Annotations of a deployment that its sets do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// Letters and digits that form no words and cannot be confused.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Upstream's short name of the template, that differs with each collision: FNV-1a over what Go prints of it.
pub(crate) fn template_hash(template: &PodTemplateSpec, collision_count: Option<i32>) -> String {
    let template = serde_json::to_value(template).expect("a template that was read can be written");
    let mut hash = fnv(FNV_OFFSET, spew::pod_template(&template).as_bytes());
    if let Some(count) = collision_count {
        hash = fnv(hash, &count.to_le_bytes());
        hash = fnv(hash, &[0; 4]);
    }
    hash.to_string().bytes().map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()])).collect()
}

fn fnv(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME))
}

/// True when `set` is the revision that the deployment now describes.
pub(super) fn is_same_template(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let set = set.spec.template.as_ref().map(comparable);
    set == Some(comparable(&deployment.spec.template))
}

fn comparable(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(TEMPLATE_HASH);
    }
    meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
    template
}

/// The set's revision number; 0 when it has none.
pub(super) fn number(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The deployment's size when the set was last scaled for it.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    annotation(set, DESIRED_REPLICAS)?.parse().ok()
}

/// The deployment's size and surge when the set was last scaled for it.
pub(super) fn max(set: &ReplicaSet) -> Option<i32> {
    annotation(set, MAX_REPLICAS)?.parse().ok()
}

fn annotation<'a>(set: &'a ReplicaSet, name: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Notes on the set what it was scaled for.
pub(super) fn note_sizes(set: &mut ReplicaSet, desired: i32, max: i32) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED_REPLICAS.to_owned(), desired.to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), max.to_string());
}

/// Makes the set the deployment's newest revision: it inherits annotations, and takes `newest` unless it is beyond.
pub(super) fn promote(set: &mut ReplicaSet, deployment: &Deployment, newest: i64) {
    let known = number(set);
    let had_one = annotation(set, REVISION).map(str::to_owned);
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_INHERITED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    if known < newest {
        annotations.insert(REVISION.to_owned(), newest.to_string());
        if let Some(old) = had_one {
            remember(annotations, &old);
        }
    }
}

/// Adds a number to the numbers that this set had before, and forgets the oldest when they grow too long.
fn remember(annotations: &mut Labels, old: &str) {
    let mut history = annotations.remove(HISTORY).unwrap_or_default();
    while !history.is_empty() && history.len() + old.len() + 1 > HISTORY_CHARS_MAX {
        history = history.split_once(',').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    }
    let history = if history.is_empty() { old.to_owned() } else { format!("{history},{old}") };
    annotations.insert(HISTORY.to_owned(), history);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "annotations": {"kubernetes.io/change-cause": "new image", REVISION: "4"}},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
        }))
        .unwrap()
    }

    fn set(image: &str) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web-x", "annotations": {REVISION: "2", HISTORY: "1"}},
            "spec": {"selector": {}, "template": {
                "metadata": {"labels": {TEMPLATE_HASH: "x"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_hash_depends_on_the_template_and_its_collisions() {
        let hash = |image: &str, count| template_hash(&deployment(image).spec.template, count);
        assert_eq!(hash("i:1", None), hash("i:1", None));
        let mut all = vec![hash("i:1", None), hash("i:2", None), hash("i:1", Some(1)), hash("i:1", Some(2))];
        all.dedup();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|hash| hash.bytes().all(|byte| SAFE.contains(&byte))));
    }

    /// A template with the defaults that the API server gives it.
    fn template(meta: Value, pod: Value, container: Value) -> PodTemplateSpec {
        let mut template = json!({"metadata": meta, "spec": {
            "containers": [{"name": "c", "image": "i:1", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "securityContext": {}, "schedulerName": "none",
        }});
        let mut add = |at: &str, more: Value| {
            let target = template.pointer_mut(at).unwrap().as_object_mut().unwrap();
            target.extend(more.as_object().unwrap().clone());
        };
        add("/spec", pod);
        add("/spec/containers/0", container);
        serde_json::from_value(template).unwrap()
    }

    #[test]
    fn hashes_are_those_of_a_real_cluster() {
        let labels = |n: &str| json!({"labels": {"app": "a", "n": n}});
        let default_scheduler = json!({"schedulerName": "default-scheduler"});
        let full = json!({"resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
            "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]});
        let annotated = json!({"labels": {"app": "a", "n": "5"}, "annotations": {"k": "v"}});
        let two_labels = json!({"labels": {"app": "a", "x": "y", "n": "2"}});
        let cases = [
            (template(json!({"labels": {"app": "a"}}), json!({}), json!({})), "797cfb576f"),
            (template(json!({"labels": {"app": "a"}}), json!({}), json!({"image": "i:2"})), "78fd459b8d"),
            (template(labels("0"), json!({}), json!({})), "cd74b6f9c"),
            (template(labels("1"), json!({}), json!({"image": "i:2"})), "689dbd879f"),
            (template(two_labels, json!({}), json!({})), "fdbd78f4b"),
            (template(labels("3"), json!({"nodeSelector": {"a": "b"}}), json!({})), "5c78ffcf9b"),
            (template(labels("4"), json!({"terminationGracePeriodSeconds": 5}), json!({})), "cc84db7cf"),
            (template(annotated, default_scheduler, full), "65568d9c46"),
        ];
        for (template, expected) in cases {
            assert_eq!(template_hash(&template, None), expected, "{template:?}");
        }
    }

    #[test]
    fn the_hash_label_is_no_difference() {
        assert!(is_same_template(&set("i:1"), &deployment("i:1")));
        assert!(!is_same_template(&set("i:1"), &deployment("i:2")));
    }

    #[test]
    fn a_set_that_comes_back_remembers_its_numbers() {
        let mut set = set("i:1");
        promote(&mut set, &deployment("i:1"), 5);
        let annotations = set.metadata.annotations.clone().unwrap();
        assert_eq!(annotations[REVISION], "5");
        assert_eq!(annotations[HISTORY], "1,2");
        assert_eq!(annotations["kubernetes.io/change-cause"], "new image");
        promote(&mut set, &deployment("i:1"), 3);
        assert_eq!(number(&set), 5, "it is the newest already");
    }

    #[test]
    fn history_is_bounded() {
        let mut annotations = Labels::new();
        for number in 0..2000 {
            remember(&mut annotations, &number.to_string());
        }
        assert!(annotations[HISTORY].len() <= HISTORY_CHARS_MAX && annotations[HISTORY].ends_with(",1998,1999"));
    }
}
