//! Limit ranges of a namespace: what containers are given, and within which bounds objects stay.

use std::collections::BTreeMap;

use coracle_api::kind::name_of;
use coracle_api::quantity::Quantity;
use coracle_api::quota::{self, Amounts};
use coracle_api::status::Status;
use serde_json::{Map, Value, json};

use crate::registry::Write;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

async fn limits(write: &Write<'_>) -> Result<Vec<Value>, Status> {
    write.state.objects(&write.state.resource("", "v1", "limitranges"), Some(write.namespace)).await
}

fn items(range: &Value) -> impl Iterator<Item = &Value> {
    range["spec"]["limits"].as_array().into_iter().flatten()
}

/// Gives the containers of a new pod what they did not ask for.
pub(super) async fn fill(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    for range in limits(write).await? {
        give(pod, &range);
    }
    Ok(())
}

fn give(pod: &mut Value, range: &Value) {
    let (mut requests, mut bounds) = (Map::new(), Map::new());
    for item in items(range).filter(|item| item["type"] == "Container") {
        for (field, all) in [("defaultRequest", &mut requests), ("default", &mut bounds)] {
            all.extend(item[field].as_object().cloned().unwrap_or_default());
        }
    }
    let mut given = Vec::new();
    for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            for (field, word, defaults) in [("requests", "request", &requests), ("limits", "limit", &bounds)] {
                let set = complete(&mut container["resources"], field, defaults);
                if !set.is_empty() {
                    given.push(format!("{} {word} for {kind} {name}", set.join(", ")));
                }
            }
        }
    }
    if !given.is_empty() {
        pod["metadata"]["annotations"][ANNOTATION] = json!(format!("LimitRanger plugin set: {}", given.join("; ")));
    }
}

/// The names of what was missing.
fn complete(resources: &mut Value, field: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let mut set: Vec<String> = Vec::new();
    for (name, amount) in defaults {
        let amounts = &mut resources[field];
        if amounts.get(name).is_none() {
            amounts[name] = amount.clone();
            set.push(name.clone());
        }
    }
    // To look at what is missing makes it null.
    if let Some(fields) = resources.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    set.sort();
    set
}

/// Refuses an object that is outside of the bounds.
pub(super) async fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let kind = &write.resource.kind;
    for range in limits(write).await? {
        let mut told: Vec<String> = Vec::new();
        for why in items(&range).flat_map(|item| problems(item, &kind.plural, object)) {
            if !told.contains(&why) {
                told.push(why);
            }
        }
        let why = match told.as_slice() {
            [] => continue,
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        return Err(Status::forbidden(kind.resource(), name_of(object), &why));
    }
    Ok(())
}

fn problems(item: &Value, plural: &str, object: &Value) -> Vec<String> {
    let bounds = Bounds::of(item);
    match (plural, item["type"].as_str().unwrap_or_default()) {
        ("pods", "Container") => {
            let lists = ["containers", "initContainers"];
            let containers = lists.iter().flat_map(|list| object["spec"][list].as_array().into_iter().flatten());
            containers.flat_map(|container| bounds.check(&Used::of(&container["resources"]))).collect()
        }
        ("pods", "Pod") => bounds.check(&Used::of_pod(object)),
        ("persistentvolumeclaims", "PersistentVolumeClaim") => {
            bounds.check_claim(&Used::of(&object["spec"]["resources"]))
        }
        _ => Vec::new(),
    }
}

/// What something asks for, and what it may have at most.
struct Used {
    requests: Amounts,
    limits: Amounts,
}

impl Used {
    fn of(resources: &Value) -> Self {
        Self { requests: quota::amounts(&resources["requests"]), limits: quota::amounts(&resources["limits"]) }
    }

    fn of_pod(pod: &Value) -> Self {
        Self { requests: quota::pod_total(pod, "requests"), limits: quota::pod_total(pod, "limits") }
    }
}

/// What one item of a limit range demands.
struct Bounds<'a> {
    kind: &'a str,
    min: BTreeMap<String, Quantity>,
    max: BTreeMap<String, Quantity>,
    ratio: BTreeMap<String, Quantity>,
}

impl<'a> Bounds<'a> {
    fn of(item: &'a Value) -> Self {
        Self {
            kind: item["type"].as_str().unwrap_or_default(),
            min: quota::amounts(&item["min"]),
            max: quota::amounts(&item["max"]),
            ratio: quota::amounts(&item["maxLimitRequestRatio"]),
        }
    }

    fn check(&self, used: &Used) -> Vec<String> {
        let mut told = self.below(used);
        told.extend(self.max.iter().filter_map(|(name, max)| self.above(used, name, *max)));
        told.extend(self.ratio.iter().filter_map(|(name, ratio)| self.apart(used, name, *ratio)));
        told
    }

    fn check_claim(&self, used: &Used) -> Vec<String> {
        let mut told = self.below(used);
        told.extend(self.max.iter().filter_map(|(name, max)| {
            let rule = format!("maximum {name} usage per {} is {max}", self.kind);
            match used.requests.get(name) {
                None => Some(format!("{rule}.  No request is specified")),
                Some(asked) if asked > max => Some(format!("{rule}, but request is {asked}")),
                Some(_) => None,
            }
        }));
        told
    }

    fn below(&self, used: &Used) -> Vec<String> {
        let told = |(name, min): (&String, &Quantity)| {
            let rule = format!("minimum {name} usage per {} is {min}", self.kind);
            match (used.requests.get(name), used.limits.get(name)) {
                (None, _) => Some(format!("{rule}.  No request is specified")),
                (Some(asked), _) if asked < min => Some(format!("{rule}, but request is {asked}")),
                (_, Some(limit)) if limit < min => Some(format!("{rule}, but limit is {limit}")),
                (Some(_), _) => None,
            }
        };
        self.min.iter().filter_map(told).collect()
    }

    fn above(&self, used: &Used, name: &str, max: Quantity) -> Option<String> {
        let rule = format!("maximum {name} usage per {} is {max}", self.kind);
        match (used.limits.get(name), used.requests.get(name)) {
            (None, _) => Some(format!("{rule}.  No limit is specified")),
            (Some(limit), _) if *limit > max => Some(format!("{rule}, but limit is {limit}")),
            (_, Some(asked)) if *asked > max => Some(format!("{rule}, but request is {asked}")),
            (Some(_), _) => None,
        }
    }

    fn apart(&self, used: &Used, name: &str, ratio: Quantity) -> Option<String> {
        let rule = format!("{name} max limit to request ratio per {} is {ratio}", self.kind);
        let find = |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
        match (find(&used.requests), find(&used.limits)) {
            (None, _) => Some(format!("{rule}, but no request is specified or request is 0")),
            (_, None) => Some(format!("{rule}, but no limit is specified or limit is 0")),
            (Some(asked), Some(limit)) => {
                let given = limit.as_f64() / asked.as_f64();
                (given > ratio.as_f64()).then(|| format!("{rule}, but provided ratio is {given:.6}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(item: Value) -> Value {
        json!({"spec": {"limits": [item]}})
    }

    #[test]
    fn containers_are_given_what_they_did_not_ask_for() {
        let range = range(json!({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}));
        let mut pod = json!({"metadata": {}, "spec": {"containers": [
            {"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]}});
        give(&mut pod, &range);
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; cpu limit for container a"
        );
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}})
        );
        assert_eq!(pod["spec"]["containers"][1]["resources"]["requests"], json!({"cpu": "1"}));
        assert!(pod["spec"].get("initContainers").is_none(), "what is not there stays away");
    }

    #[test]
    fn objects_outside_of_the_bounds_are_told_so() {
        let pod = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}});
        let table = [
            (
                json!({"min": {"cpu": "1"}}),
                json!({}),
                json!({}),
                "minimum cpu usage per Container is 1.  No request is specified",
            ),
            (
                json!({"min": {"cpu": "1"}}),
                json!({"cpu": "10m"}),
                json!({}),
                "minimum cpu usage per Container is 1, but request is 10m",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({}),
                json!({}),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({}),
                json!({"cpu": "2"}),
                "maximum cpu usage per Container is 1, but limit is 2",
            ),
            (
                json!({"maxLimitRequestRatio": {"cpu": "5"}}),
                json!({"cpu": "100m"}),
                json!({"cpu": "800m"}),
                "cpu max limit to request ratio per Container is 5, but provided ratio is 8.000000",
            ),
            (json!({"max": {"cpu": "1"}}), json!({}), json!({"cpu": "1"}), ""),
        ];
        for (mut item, requests, limits, why) in table {
            item["type"] = json!("Container");
            assert_eq!(problems(&item, "pods", &pod(requests, limits)).join("; "), why);
        }
    }
}
