//! Topology spread constraints: no domain has many more matching pods than another.

use std::collections::{BTreeMap, HashMap};

use coracle_api::selector::{Operator, Requirement, Selector};
use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use crate::cluster::{Cluster, NodeView};
use crate::filter::{self, Reason};
use crate::labels;
use crate::subject::Subject;

struct Constraint {
    topology: String,
    max_skew: i64,
    is_hard: bool,
    counts: HashMap<String, i64>,
    least: i64,
    counts_itself: bool,
}

/// How the pods that a new one counts with are spread now.
pub(crate) struct Spread(Vec<Constraint>);

impl Spread {
    pub(crate) fn of(subject: &Subject, cluster: &Cluster) -> Self {
        let typed = subject.spec().and_then(|spec| spec.topology_spread_constraints.as_ref());
        let of = |typed: &TopologySpreadConstraint| Constraint::new(typed, subject, cluster);
        Self(typed.into_iter().flatten().map(of).collect())
    }

    pub(crate) fn objections(&self, view: &NodeView) -> Vec<Reason> {
        const TEXT: &str = "node(s) didn't match pod topology spread constraints";
        for constraint in self.0.iter().filter(|constraint| constraint.is_hard) {
            let Some(n) = constraint.n_at(view) else {
                let text = format!("{TEXT} (missing required label)");
                return vec![Reason { text, is_resolvable: false }];
            };
            if n + i64::from(constraint.counts_itself) - constraint.least > constraint.max_skew {
                return vec![Reason { text: TEXT.to_owned(), is_resolvable: true }];
            }
        }
        Vec::new()
    }

    /// How many matching pods the node's domains have, for constraints that are wishes; `None` when there are none.
    pub(crate) fn crowd(&self, view: &NodeView) -> Option<i64> {
        let mut soft = self.0.iter().filter(|constraint| !constraint.is_hard).peekable();
        soft.peek()?;
        Some(soft.map(|constraint| constraint.n_at(view).unwrap_or(i64::MAX / 1024)).sum())
    }
}

impl Constraint {
    fn new(typed: &TopologySpreadConstraint, subject: &Subject, cluster: &Cluster) -> Self {
        let selector = selector(typed, subject);
        let topology = &typed.topology_key;
        let mut counts: HashMap<String, i64> = HashMap::new();
        for view in cluster.nodes().filter(|view| is_eligible(typed, subject, view)) {
            let Some(domain) = view.labels().and_then(|labels| labels.get(topology)) else { continue };
            let is_alike = |pod: &&std::sync::Arc<Subject>| {
                let is_here = pod.key.namespace == subject.key.namespace && !pod.is_ending();
                is_here && labels::matches(&selector, pod.pod.metadata.labels.as_ref())
            };
            let n = view.pods.values().filter(is_alike).count();
            *counts.entry(domain.clone()).or_default() += i64::try_from(n).unwrap_or(i64::MAX);
        }
        let n_domains_min = usize::try_from(typed.min_domains.unwrap_or(1)).unwrap_or(1);
        let least = counts.values().min().copied().filter(|_| counts.len() >= n_domains_min).unwrap_or(0);
        Self {
            topology: topology.clone(),
            max_skew: i64::from(typed.max_skew),
            is_hard: typed.when_unsatisfiable == "DoNotSchedule",
            counts_itself: labels::matches(&selector, subject.pod.metadata.labels.as_ref()),
            counts,
            least,
        }
    }

    fn n_at(&self, view: &NodeView) -> Option<i64> {
        let domain = view.labels()?.get(&self.topology)?;
        Some(self.counts.get(domain).copied().unwrap_or(0))
    }
}

/// The constraint's selector, narrowed to pods that share the values of `matchLabelKeys`.
fn selector(typed: &TopologySpreadConstraint, subject: &Subject) -> Selector {
    let mut selector = labels::selector(typed.label_selector.as_ref());
    let own: BTreeMap<String, String> = subject.pod.metadata.labels.clone().unwrap_or_default();
    for key in typed.match_label_keys.iter().flatten() {
        if let Some(value) = own.get(key) {
            let values = vec![value.clone()];
            selector.requirements.push(Requirement { key: key.clone(), operator: Operator::Equals, values });
        }
    }
    selector
}

fn is_eligible(typed: &TopologySpreadConstraint, subject: &Subject, view: &NodeView) -> bool {
    let honours = |policy: &Option<String>, default: &str| policy.as_deref().unwrap_or(default) == "Honor";
    let is_selected = || subject.spec().is_none_or(|spec| filter::is_selected(spec, view));
    let is_open = || {
        let keeps_away = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
        let mut taints = view.taints().iter().filter(|taint| keeps_away(&taint.effect));
        taints.all(|taint| filter::is_tolerated(taint, subject.tolerations()))
    };
    (!honours(&typed.node_affinity_policy, "Honor") || is_selected())
        && (!honours(&typed.node_taints_policy, "Ignore") || is_open())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{changed, node, pod};

    fn told(places: &[&str], change: Value) -> Vec<String> {
        let mut cluster = Cluster::default();
        for (name, zone) in [("n1", json!("a")), ("n2", json!("b")), ("n3", Value::Null)] {
            let zoned = changed(
                &node(name, "4", "8Gi"),
                json!({"metadata": {"labels": if zone.is_null() { json!({}) } else { json!({"zone": zone}) }}}),
            );
            cluster.set_node(name, Some(zoned));
        }
        for (i, place) in places.iter().enumerate() {
            cluster.assume(Arc::new(Subject::new(pod(&format!("other{i}"), "1", "1Gi"))), place);
        }
        let mut constraint = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}});
        for (key, value) in change.as_object().unwrap() {
            constraint[key] = value.clone();
        }
        let subject = changed(&pod("a", "1", "1Gi"), json!({"spec": {"topologySpreadConstraints": [constraint]}}));
        let spread = Spread::of(&Subject::new(subject), &cluster);
        let text = |view: &NodeView| spread.objections(view).pop().map(|reason| reason.text).unwrap_or_default();
        cluster.nodes().map(text).collect()
    }

    const SKEWED: &str = "node(s) didn't match pod topology spread constraints";
    const MISSING: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

    #[test]
    fn a_crowded_domain_is_closed() {
        assert_eq!(told(&["n1"], json!({})), [SKEWED, "", MISSING]);
        assert_eq!(told(&["n1", "n2"], json!({})), ["", "", MISSING]);
        assert_eq!(told(&["n1"], json!({"maxSkew": 2})), ["", "", MISSING]);
    }

    #[test]
    fn too_few_domains_count_as_empty_ones() {
        assert_eq!(told(&["n1", "n2"], json!({"minDomains": 3})), [SKEWED, SKEWED, MISSING]);
    }

    #[test]
    fn a_wish_closes_nothing() {
        assert_eq!(told(&["n1"], json!({"whenUnsatisfiable": "ScheduleAnyway"})), ["", "", ""]);
    }
}
