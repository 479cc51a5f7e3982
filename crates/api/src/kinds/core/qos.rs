//! A pod's quality of service, which follows from its requests and limits.

use serde_json::Value;

use crate::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn class(pod: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers = lists.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten());
    let own = Some(&pod["spec"]).filter(|spec| !spec["resources"].is_null());
    let counted: Vec<&Value> = match own {
        Some(spec) => vec![&spec["resources"]],
        None => containers.map(|container| &container["resources"]).collect(),
    };
    let any = counted.iter().any(|r| ["requests", "limits"].iter().any(|list| has_amounts(&r[*list])));
    let guaranteed = counted.iter().all(|resources| is_guaranteed(resources));
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn amount(list: &Value, name: &str) -> Option<Quantity> {
    list[name].as_str()?.parse().ok().filter(|amount: &Quantity| !amount.is_zero())
}

fn has_amounts(list: &Value) -> bool {
    ["cpu", "memory"].iter().any(|name| amount(list, name).is_some())
}

/// Both amounts are limited, and no less is asked for.
fn is_guaranteed(resources: &Value) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        let limit = amount(&resources["limits"], name);
        let request = amount(&resources["requests"], name).or(limit);
        limit.is_some() && request == limit
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::class;

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let pod = |resources| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(&pod(json!({}))), "BestEffort");
        assert_eq!(class(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        assert_eq!(class(&pod(json!({"limits": both, "requests": both}))), "Guaranteed");
        assert_eq!(class(&pod(json!({"limits": both, "requests": {"cpu": "500m", "memory": "1Gi"}}))), "Burstable");
    }
}
