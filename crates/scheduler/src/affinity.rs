//! Pods that want to be near others, or far from them. Worked out once per decision, then asked per node.

use std::collections::HashSet;

use coracle_api::selector::Selector;
use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};

use crate::cluster::{Cluster, NodeView};
use crate::filter::Reason;
use crate::labels;
use crate::subject::Subject;

type Domain = (String, String);

/// One term: which pods, in which sense of near.
struct Term {
    topology: String,
    namespaces: Namespaces,
    selector: Selector,
}

enum Namespaces {
    All,
    These(Vec<String>),
}

impl Term {
    fn new(term: &PodAffinityTerm, own_namespace: &str) -> Self {
        let is_everywhere = term.namespace_selector.as_ref().is_some_and(|selector| {
            selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
                && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
        });
        let named = term.namespaces.clone().filter(|names| !names.is_empty());
        let namespaces = match (is_everywhere, named) {
            (true, _) => Namespaces::All,
            (false, Some(names)) => Namespaces::These(names),
            (false, None) => Namespaces::These(vec![own_namespace.to_owned()]),
        };
        let selector = labels::selector(term.label_selector.as_ref());
        Self { topology: term.topology_key.clone(), namespaces, selector }
    }

    fn matches(&self, subject: &Subject) -> bool {
        let is_in = match &self.namespaces {
            Namespaces::All => true,
            Namespaces::These(names) => names.contains(&subject.key.namespace),
        };
        is_in && labels::matches(&self.selector, subject.pod.metadata.labels.as_ref())
    }

    fn domain(&self, view: &NodeView) -> Option<Domain> {
        domain(&self.topology, view)
    }

    /// The domains where a matching pod is.
    fn domains(&self, cluster: &Cluster) -> HashSet<Domain> {
        let has = |view: &&NodeView| view.pods.values().any(|pod| self.matches(pod));
        cluster.nodes().filter(has).filter_map(|view| self.domain(view)).collect()
    }
}

fn domain(topology: &str, view: &NodeView) -> Option<Domain> {
    view.labels()?.get(topology).map(|value| (topology.to_owned(), value.clone()))
}

fn terms(subject: &Subject, terms: Option<&Vec<PodAffinityTerm>>) -> Vec<Term> {
    terms.into_iter().flatten().map(|term| Term::new(term, &subject.key.namespace)).collect()
}

fn near(subject: &Subject) -> Vec<Term> {
    let affinity = subject.spec().and_then(|spec| spec.affinity.as_ref()?.pod_affinity.as_ref());
    terms(subject, affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()))
}

fn far(subject: &Subject) -> Vec<Term> {
    let affinity = subject.spec().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
    terms(subject, affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()))
}

/// True when the pod keeps others away.
pub(crate) fn repels(subject: &Subject) -> bool {
    !far(subject).is_empty()
}

/// True when pods that come elsewhere may make room for this one.
pub(crate) fn looks_at_others(subject: &Subject) -> bool {
    let spec = subject.spec();
    spec.is_some_and(|spec| spec.affinity.as_ref().is_some_and(|a| a.pod_affinity.is_some()))
        || spec.is_some_and(|spec| spec.topology_spread_constraints.is_some())
}

/// What the pods that are there mean for one that comes.
pub(crate) struct Company {
    /// Domains that pods keep free of the likes of it.
    forbidden: HashSet<Domain>,
    near: Vec<(Term, HashSet<Domain>)>,
    far: Vec<(Term, HashSet<Domain>)>,
    /// It is the first of a group that wants to be together.
    is_first_of_group: bool,
    preferred: Vec<(i64, Term, HashSet<Domain>)>,
}

impl Company {
    pub(crate) fn of(subject: &Subject, cluster: &Cluster) -> Self {
        let located = |term: Term| {
            let domains = term.domains(cluster);
            (term, domains)
        };
        let near: Vec<_> = near(subject).into_iter().map(located).collect();
        let is_alone = near.iter().all(|(_, domains)| domains.is_empty());
        let is_own_company = near.iter().all(|(term, _)| term.matches(subject));
        Self {
            forbidden: forbidden(subject, cluster),
            is_first_of_group: is_alone && is_own_company,
            near,
            far: far(subject).into_iter().map(located).collect(),
            preferred: preferred(subject, cluster),
        }
    }

    pub(crate) fn objections(&self, view: &NodeView) -> Vec<Reason> {
        let reason = |text: &str, is_resolvable| vec![Reason { text: text.to_owned(), is_resolvable }];
        let is_in = |term: &Term, domains: &HashSet<Domain>| term.domain(view).is_some_and(|d| domains.contains(&d));
        let has_keys = self.near.iter().all(|(term, _)| term.domain(view).is_some());
        let is_near = self.near.iter().all(|(term, domains)| is_in(term, domains));
        if !(is_near || (self.is_first_of_group && has_keys)) {
            return reason("node(s) didn't match pod affinity rules", false);
        }
        if self.far.iter().any(|(term, domains)| is_in(term, domains)) {
            return reason("node(s) didn't match pod anti-affinity rules", true);
        }
        if self.forbidden.iter().any(|(key, value)| view.labels().and_then(|labels| labels.get(key)) == Some(value)) {
            return reason("node(s) didn't satisfy existing pods anti-affinity rules", true);
        }
        Vec::new()
    }

    /// How welcome the node's company is: the sum of the weights of what is preferred and found.
    pub(crate) fn score(&self, view: &NodeView) -> i64 {
        let found = |(_, term, domains): &&(i64, Term, HashSet<Domain>)| {
            term.domain(view).is_some_and(|domain| domains.contains(&domain))
        };
        self.preferred.iter().filter(found).map(|(weight, _, _)| weight).sum()
    }
}

fn forbidden(subject: &Subject, cluster: &Cluster) -> HashSet<Domain> {
    let mut domains = HashSet::new();
    for key in &cluster.repelling {
        let Some(view) = cluster.place_of(key).and_then(|name| cluster.node(name)) else { continue };
        let Some(pod) = view.pods.get(key) else { continue };
        let terms = far(pod).into_iter().filter(|term| term.matches(subject));
        domains.extend(terms.filter_map(|term| term.domain(view)));
    }
    domains
}

fn preferred(subject: &Subject, cluster: &Cluster) -> Vec<(i64, Term, HashSet<Domain>)> {
    let Some(affinity) = subject.spec().and_then(|spec| spec.affinity.as_ref()) else { return Vec::new() };
    let weighted = |sign: i64, terms: Option<&Vec<WeightedPodAffinityTerm>>| {
        let of = |weighted: &WeightedPodAffinityTerm| {
            let term = Term::new(&weighted.pod_affinity_term, &subject.key.namespace);
            let domains = term.domains(cluster);
            (sign * i64::from(weighted.weight), term, domains)
        };
        terms.into_iter().flatten().map(of).collect::<Vec<_>>()
    };
    let near = affinity.pod_affinity.as_ref();
    let far = affinity.pod_anti_affinity.as_ref();
    let mut all = weighted(1, near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()));
    all.extend(weighted(-1, far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref())));
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{changed, node, pod};

    fn world(others: &[(&str, Value)]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
            let zoned = changed(&node(name, "4", "8Gi"), json!({"metadata": {"labels": {"zone": zone}}}));
            cluster.set_node(name, Some(zoned));
        }
        for (i, (place, change)) in others.iter().enumerate() {
            let other = changed(&pod(&format!("other{i}"), "1", "1Gi"), change.clone());
            cluster.assume(Arc::new(Subject::new(other)), place);
        }
        cluster
    }

    fn affinity(kind: &str, app: &str) -> Value {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}});
        json!({"spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    }

    fn fitting(cluster: &Cluster, change: Value) -> Vec<String> {
        let company = Company::of(&Subject::new(changed(&pod("a", "1", "1Gi"), change)), cluster);
        let fits = |view: &&NodeView| company.objections(view).is_empty();
        cluster.nodes().filter(fits).map(|view| view.name().to_owned()).collect()
    }

    #[test]
    fn affinity_follows_a_pod_into_its_zone() {
        let cluster = world(&[("n1", json!({"metadata": {"labels": {"app": "db"}}}))]);
        assert_eq!(fitting(&cluster, affinity("podAffinity", "db")), ["n1", "n2"]);
        assert!(fitting(&cluster, affinity("podAffinity", "cache")).is_empty());
    }

    #[test]
    fn the_first_of_a_group_may_start_anywhere() {
        assert_eq!(fitting(&world(&[]), affinity("podAffinity", "web")).len(), 3);
    }

    #[test]
    fn anti_affinity_works_both_ways() {
        let cluster = world(&[("n1", json!({}))]);
        assert_eq!(fitting(&cluster, affinity("podAntiAffinity", "web")), ["n3"]);
        let cluster = world(&[("n3", affinity("podAntiAffinity", "web"))]);
        assert_eq!(fitting(&cluster, json!({})), ["n1", "n2"]);
    }
}
