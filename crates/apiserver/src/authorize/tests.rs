use super::*;

fn decision(user: &User, verb: &'static str, group: &str, resource: &str, namespace: &str, name: &str) -> Decision {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = Attributes { verb, group, resource, subresource, namespace, name, path: "/x" };
    decide(user, &attributes, &Query::default())
}

fn allowed(user: &User, verb: &'static str, group: &str, resource: &str) -> bool {
    decision(user, verb, group, resource, "n", "") == Decision::Allow
}

#[test]
fn masters_may_do_everything_and_strangers_nothing() {
    assert!(allowed(&User::admin(), "delete", "apps", "deployments"));
    assert!(!allowed(&User::new("jane", &[]), "get", "", "pods"));
}

#[test]
fn the_scheduler_binds_pods_and_does_not_create_them() {
    let scheduler = User::new("system:kube-scheduler", &[]);
    assert!(allowed(&scheduler, "create", "", "pods/binding"));
    assert!(allowed(&scheduler, "watch", "", "nodes"));
    assert!(!allowed(&scheduler, "create", "", "pods"));
    assert!(!allowed(&scheduler, "update", "apps", "deployments"));
}

#[test]
fn everybody_known_may_discover_and_ask_about_themselves() {
    let jane = User::new("jane", &[]);
    let path = |path| Attributes { verb: "get", path, ..Attributes::default() };
    assert_eq!(decide(&jane, &path("/apis/apps/v1"), &Query::default()), Decision::Allow);
    assert_ne!(decide(&jane, &path("/metrics"), &Query::default()), Decision::Allow);
    assert!(allowed(&jane, "create", "authentication.k8s.io", "selfsubjectreviews"));
}

#[test]
fn a_node_has_its_own_node_lease_and_pods() {
    let node = User::node("n1");
    assert_eq!(decision(&node, "patch", "", "nodes/status", "", "n1"), Decision::Allow);
    assert!(matches!(decision(&node, "patch", "", "nodes/status", "", "n2"), Decision::NoOpinion(_)));
    assert_eq!(decision(&node, "update", "coordination.k8s.io", "leases", "kube-node-lease", "n1"), Decision::Allow);
    assert!(matches!(
        decision(&node, "update", "coordination.k8s.io", "leases", "kube-node-lease", "n2"),
        Decision::NoOpinion(_)
    ));
    assert!(matches!(decision(&node, "get", "", "secrets", "n", "s"), Decision::IfNodeNeeds { .. }));
    assert!(matches!(decision(&node, "list", "", "secrets", "n", ""), Decision::NoOpinion(_)));
    assert!(matches!(decision(&node, "delete", "", "pods", "n", "p"), Decision::IfPodOnNode { .. }));
    assert!(!allowed(&node, "create", "apps", "deployments"));
}

#[test]
fn a_node_lists_only_its_own_pods() {
    let list = Attributes { verb: "list", resource: "pods", ..Attributes::default() };
    let ask = |query: &str| decide(&User::node("n1"), &list, &Query::parse(query));
    assert_eq!(ask("fieldSelector=spec.nodeName%3Dn1"), Decision::Allow);
    assert!(matches!(ask("fieldSelector=spec.nodeName%3Dn2"), Decision::NoOpinion(_)));
    assert!(matches!(ask(""), Decision::NoOpinion(_)));
}

#[test]
fn without_a_name_one_may_ask_how_the_server_is_and_no_more() {
    let may = |verb, path| {
        let attributes = Attributes { verb, path, ..Attributes::default() };
        decide(&User::anonymous(), &attributes, &Query::default()) == Decision::Allow
    };
    assert!(may("get", "/readyz") && may("get", "/version/"));
    assert!(!may("get", "/metrics") && !may("post", "/readyz") && !may("get", "/livez/ping") && !may("get", "/api"));
}
