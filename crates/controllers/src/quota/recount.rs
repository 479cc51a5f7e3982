//! The arithmetic of counting anew: pure functions over what was listed.

use std::collections::BTreeSet;

use coracle_api::quantity::Quantity;
use coracle_api::quota::{self, Amounts, Counted};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use serde::Serialize;
use serde_json::{Value, json};

/// Kinds that count for more than their number.
const WEIGHED: [&str; 3] = ["pods", "services", "persistentvolumeclaims"];

pub(super) fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

pub(super) fn hard(quota: &ResourceQuota) -> Amounts {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    hard.into_iter().flatten().filter_map(|(name, text)| Some((name.clone(), text.0.parse().ok()?))).collect()
}

/// The kinds, by group and plural, that a quota is about.
pub(super) fn kinds(hard: &Amounts) -> BTreeSet<(String, String)> {
    let mut kinds = BTreeSet::new();
    for resource in hard.keys() {
        let weighed = WEIGHED.into_iter().find(|plural| Counted { group: "", plural }.counts(resource));
        if let Some(plural) = weighed {
            kinds.insert((String::new(), plural.to_owned()));
        } else if let Some(counted) = resource.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            kinds.insert((group.to_owned(), plural.to_owned()));
        } else if !resource.contains('/') {
            kinds.insert((String::new(), resource.clone()));
        }
    }
    kinds
}

/// What the objects that the quota is about use together.
pub(super) fn sum(quota: &ResourceQuota, counted: Counted<'_>, objects: &[Value], now: Timestamp) -> Amounts {
    let (hard, quota) = (hard(quota), value(quota));
    let within = objects.iter().filter(|object| counted.is_in(&quota, &hard, object));
    within.fold(Amounts::new(), |sum, object| quota::add(&sum, &counted.usage(object, now)))
}

/// What `n` objects use of a kind of which all are alike.
pub(super) fn times(n: &i64, counted: Counted<'_>, now: &Timestamp) -> Amounts {
    let one = counted.usage(&json!({}), *now);
    one.into_keys().map(|name| (name, Quantity::from_int(*n))).collect()
}

/// The quota with what was counted; `None` when it says so already.
pub(super) fn updated(quota: &ResourceQuota, counted: &Amounts) -> Option<ResourceQuota> {
    let bounds = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let used = bounds.keys().map(|name| {
        let amount = counted.get(name).copied().unwrap_or(Quantity::ZERO);
        (name.clone(), Text(amount.to_string()))
    });
    let status = ResourceQuotaStatus { used: Some(used.collect()), hard: Some(bounds) };
    let differs = quota.status.as_ref() != Some(&status);
    differs.then(|| ResourceQuota { status: Some(status), ..quota.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(spec: Value) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_quota_is_about_the_kinds_that_it_names() {
        let quota = quota(json!({"hard": {"requests.cpu": "1", "services.nodeports": "1", "secrets": "1",
            "count/deployments.apps": "1", "count/jobs.batch": "2", "gold.storageclass.storage.k8s.io/requests.storage": "1"}}));
        let kinds: Vec<String> =
            kinds(&hard(&quota)).into_iter().map(|(group, plural)| format!("{plural}.{group}")).collect();
        assert_eq!(
            kinds,
            ["persistentvolumeclaims.", "pods.", "secrets.", "services.", "deployments.apps", "jobs.batch"]
        );
    }

    #[test]
    fn only_what_the_scopes_contain_is_summed() {
        let quota = quota(json!({"hard": {"pods": "5", "requests.cpu": "1"}, "scopes": ["NotTerminating"]}));
        let pod = |spec: Value| json!({"spec": spec});
        let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]);
        let objects = [
            pod(json!({"containers": containers})),
            pod(json!({"containers": containers, "activeDeadlineSeconds": 1})),
        ];
        let pods = Counted { group: "", plural: "pods" };
        let counted = sum(&quota, pods, &objects, Timestamp::UNIX_EPOCH);
        let status = updated(&quota, &counted).unwrap().status.unwrap();
        assert_eq!(value(&status.used), json!({"pods": "1", "requests.cpu": "100m"}));
        let same =
            ResourceQuota { status: Some(ResourceQuotaStatus { used: status.used, hard: status.hard }), ..quota };
        assert_eq!(updated(&same, &counted), None);
    }
}
