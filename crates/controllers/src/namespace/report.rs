//! What is left in a namespace, as its conditions say it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};

/// What one kind has left.
#[derive(Debug)]
pub(super) struct Remaining {
    plural: String,
    group: String,
    n: usize,
    n_with_finalizer: BTreeMap<String, usize>,
}

impl Remaining {
    pub(super) fn none(resource: &ApiResource) -> Self {
        Self::of(resource, &[])
    }

    /// Nothing is known: that is no reason to let the namespace go.
    pub(super) fn unknown(resource: &ApiResource) -> Self {
        Self::none(resource)
    }

    pub(super) fn of(resource: &ApiResource, objects: &[PartialObjectMeta<DynamicObject>]) -> Self {
        let mut n_with_finalizer = BTreeMap::new();
        for finalizer in objects.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
            *n_with_finalizer.entry(finalizer.clone()).or_default() += 1;
        }
        Self { plural: resource.plural.clone(), group: resource.group.clone(), n: objects.len(), n_with_finalizer }
    }
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) discovery_failure: Option<String>,
    pub(super) failures: Vec<String>,
    pub(super) remaining: Vec<Remaining>,
}

impl Report {
    /// Nothing is left, as far as anybody can know.
    pub(super) fn is_clean(&self) -> bool {
        self.discovery_failure.is_none() && self.failures.is_empty() && self.remaining.iter().all(|kind| kind.n == 0)
    }

    pub(super) fn conditions(&self, namespace: &Namespace, now: Timestamp) -> Vec<NamespaceCondition> {
        let known = namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let said = [
            ("NamespaceDeletionDiscoveryFailure", self.discovery()),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                fine("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            ),
            ("NamespaceDeletionContentFailure", self.content()),
            ("NamespaceContentRemaining", self.left()),
            ("NamespaceFinalizersRemaining", self.finalizers()),
        ];
        let condition = |(type_, (status, reason, message)): (&str, Said)| {
            let before = known.iter().find(|known| known.type_ == type_ && known.status == status);
            let is_same = |before: &&NamespaceCondition| {
                before.reason.as_deref() == Some(reason) && before.message.as_ref() == Some(&message)
            };
            if let Some(before) = before.filter(is_same) {
                return before.clone();
            }
            NamespaceCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                last_transition_time: Some(
                    before.and_then(|before| before.last_transition_time.clone()).unwrap_or(Time(now)),
                ),
                message: Some(message),
            }
        };
        said.into_iter().map(condition).collect()
    }

    fn discovery(&self) -> Said {
        match &self.discovery_failure {
            None => fine("ResourcesDiscovered", "All resources successfully discovered"),
            Some(error) => ("True", "DiscoveryFailed", format!("Discovery failed for some groups, 1 failing: {error}")),
        }
    }

    fn content(&self) -> Said {
        if self.failures.is_empty() {
            return fine("ContentDeleted", "All content successfully deleted, may be waiting on finalization");
        }
        let (n, text) = (self.failures.len(), self.failures.join(", "));
        ("True", "ContentDeletionFailed", format!("Failed to delete all resource types, {n} remaining: {text}"))
    }

    fn left(&self) -> Said {
        let mut texts: Vec<String> = (self.remaining.iter().filter(|kind| kind.n > 0))
            .map(|kind| format!("{}.{} has {} resource instances", kind.plural, kind.group, kind.n))
            .collect();
        if texts.is_empty() {
            return fine("ContentRemoved", "All content successfully removed");
        }
        texts.sort();
        ("True", "SomeResourcesRemain", format!("Some resources are remaining: {}", texts.join(", ")))
    }

    fn finalizers(&self) -> Said {
        let mut n_with: BTreeMap<&str, usize> = BTreeMap::new();
        for (finalizer, n) in self.remaining.iter().flat_map(|kind| &kind.n_with_finalizer) {
            *n_with.entry(finalizer).or_default() += n;
        }
        if n_with.is_empty() {
            return fine("ContentHasNoFinalizers", "All content-preserving finalizers finished");
        }
        let texts: Vec<String> =
            n_with.into_iter().map(|(finalizer, n)| format!("{finalizer} in {n} resource instances")).collect();
        let text = format!("Some content in the namespace has finalizers remaining: {}", texts.join(", "));
        ("True", "SomeFinalizersRemain", text)
    }
}

type Said = (&'static str, &'static str, String);

fn fine(reason: &'static str, message: &str) -> Said {
    ("False", reason, message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(group: &str, plural: &str) -> ApiResource {
        ApiResource {
            group: group.into(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: String::new(),
            plural: plural.into(),
        }
    }

    fn objects(n: usize, finalizers: &[&str]) -> Vec<PartialObjectMeta<DynamicObject>> {
        (0..n).map(|_| serde_json::from_value(json!({"metadata": {"finalizers": finalizers}})).unwrap()).collect()
    }

    fn printed(report: &Report) -> String {
        let conditions = report.conditions(&Namespace::default(), Timestamp::UNIX_EPOCH);
        let line = |condition: &NamespaceCondition| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!(
                "{} {} {}: {}",
                condition.type_,
                condition.status,
                text(&condition.reason),
                text(&condition.message)
            )
        };
        conditions.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_left_is_said() {
        let remaining = vec![
            Remaining::of(&resource("", "pods"), &objects(2, &["example.com/a"])),
            Remaining::of(&resource("apps", "deployments"), &objects(1, &["example.com/a", "foregroundDeletion"])),
            Remaining::none(&resource("", "secrets")),
        ];
        let failures = vec!["secrets is forbidden".to_owned()];
        let report = Report { discovery_failure: None, failures, remaining };
        assert!(!report.is_clean());
        insta::assert_snapshot!(printed(&report), @r#"
        NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered
        NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed
        NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: secrets is forbidden
        NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances
        NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/a in 3 resource instances, foregroundDeletion in 1 resource instances
        "#);
    }

    #[test]
    fn an_empty_namespace_may_go() {
        let report = Report { remaining: vec![Remaining::none(&resource("", "pods"))], ..Report::default() };
        assert!(report.is_clean());
        insta::assert_snapshot!(printed(&report), @r#"
        NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered
        NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed
        NamespaceDeletionContentFailure False ContentDeleted: All content successfully deleted, may be waiting on finalization
        NamespaceContentRemaining False ContentRemoved: All content successfully removed
        NamespaceFinalizersRemaining False ContentHasNoFinalizers: All content-preserving finalizers finished
        "#);
    }

    #[test]
    fn what_cannot_be_discovered_holds_the_namespace() {
        let report = Report { discovery_failure: Some("no answer".into()), ..Report::default() };
        assert!(!report.is_clean());
    }
}
