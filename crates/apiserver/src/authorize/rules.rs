//! The rules of the identities that every cluster has. Objects of RBAC will say the same and more.

use coracle_api::identity::{AUTHENTICATED, NODES, UNAUTHENTICATED, User};
use coracle_api::status::Attributes;
use serde_json::{Value, json};

struct Binding {
    subject: Subject,
    rules: &'static [Rule],
}

enum Subject {
    User(&'static str),
    Group(&'static str),
}

enum Rule {
    Resources { verbs: &'static [&'static str], groups: &'static [&'static str], resources: &'static [&'static str] },
    Paths(&'static [&'static str]),
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
const EVENTS: Rule =
    Rule::Resources { verbs: &["create", "patch", "update"], groups: &["", "events.k8s.io"], resources: &["events"] };
const LEASES: Rule = Rule::Resources { verbs: WRITE, groups: &["coordination.k8s.io"], resources: &["leases"] };

/// What everybody may read, also without saying who they are.
const OPEN_PATHS: Rule = Rule::Paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"]);

const BINDINGS: &[Binding] = &[
    Binding {
        subject: Subject::Group(AUTHENTICATED),
        rules: &[
            OPEN_PATHS,
            Rule::Paths(&[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ]),
            Rule::Resources {
                verbs: &["create"],
                groups: &["authorization.k8s.io"],
                resources: &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            },
            Rule::Resources {
                verbs: &["create"],
                groups: &["authentication.k8s.io"],
                resources: &["selfsubjectreviews"],
            },
        ],
    },
    Binding { subject: Subject::Group(UNAUTHENTICATED), rules: &[OPEN_PATHS] },
    Binding {
        subject: Subject::Group("system:serviceaccounts"),
        rules: &[Rule::Paths(&["/.well-known/openid-configuration", "/openid/v1/jwks"])],
    },
    // Who joins asks for a certificate, and its approval is by rule.
    Binding {
        subject: Subject::Group("system:bootstrappers"),
        rules: &[
            Rule::Resources {
                verbs: &["create", "get", "list", "watch"],
                groups: &["certificates.k8s.io"],
                resources: &["certificatesigningrequests"],
            },
            Rule::Resources {
                verbs: &["create"],
                groups: &["certificates.k8s.io"],
                resources: &["certificatesigningrequests/nodeclient"],
            },
        ],
    },
    Binding {
        subject: Subject::Group(NODES),
        rules: &[Rule::Resources {
            verbs: &["create"],
            groups: &["certificates.k8s.io"],
            resources: &["certificatesigningrequests/selfnodeclient"],
        }],
    },
    Binding {
        subject: Subject::User("system:kube-scheduler"),
        rules: &[
            EVENTS,
            LEASES,
            Rule::Resources { verbs: READ, groups: &["*"], resources: &["*"] },
            Rule::Resources { verbs: &["delete"], groups: &[""], resources: &["pods"] },
            Rule::Resources { verbs: &["create"], groups: &[""], resources: &["bindings", "pods/binding"] },
            Rule::Resources { verbs: &["patch", "update"], groups: &[""], resources: &["pods/status"] },
            Rule::Resources { verbs: &["patch", "update"], groups: &[""], resources: &["persistentvolumeclaims"] },
        ],
    },
    // Namespaces are emptied and garbage is collected by it: it writes every kind.
    Binding {
        subject: Subject::User("system:kube-controller-manager"),
        rules: &[Rule::Resources { verbs: &["*"], groups: &["*"], resources: &["*"] }],
    },
    Binding {
        subject: Subject::User("system:kube-proxy"),
        rules: &[
            EVENTS,
            Rule::Resources {
                verbs: READ,
                groups: &["", "discovery.k8s.io", "networking.k8s.io"],
                resources: &[
                    "services",
                    "endpoints",
                    "endpointslices",
                    "nodes",
                    "namespaces",
                    "pods",
                    "networkpolicies",
                    "servicecidrs",
                ],
            },
        ],
    },
];

/// True when a rule of a binding of `user` covers what is asked.
pub(super) fn allow(user: &User, attributes: &Attributes<'_>) -> bool {
    BINDINGS.iter().filter(|b| is_bound(&b.subject, user)).flat_map(|b| b.rules).any(|rule| covers(rule, attributes))
}

/// The rules of every binding of `user`, as reviews print them.
pub(super) fn rules_of(user: &User) -> (Vec<Value>, Vec<Value>) {
    let (mut resource_rules, mut path_rules) = (Vec::new(), Vec::new());
    for rule in BINDINGS.iter().filter(|b| is_bound(&b.subject, user)).flat_map(|b| b.rules) {
        match rule {
            Rule::Paths(paths) => path_rules.push(json!({"verbs": ["get"], "nonResourceURLs": paths})),
            Rule::Resources { verbs, groups, resources } => {
                resource_rules.push(json!({"verbs": verbs, "apiGroups": groups, "resources": resources}));
            }
        }
    }
    (resource_rules, path_rules)
}

fn is_bound(subject: &Subject, user: &User) -> bool {
    match subject {
        Subject::User(name) => user.name == *name,
        Subject::Group(group) => user.is_in(group),
    }
}

fn covers(rule: &Rule, a: &Attributes<'_>) -> bool {
    match rule {
        Rule::Paths(paths) => {
            a.resource.is_empty()
                && matches!(a.verb, "get" | "head")
                && paths.iter().any(|pattern| covers_path(pattern, a.path))
        }
        Rule::Resources { verbs, groups, resources } => {
            !a.resource.is_empty()
                && contains(verbs, a.verb)
                && contains(groups, a.group)
                && resources.iter().any(|pattern| covers_resource(pattern, a))
        }
    }
}

fn contains(list: &[&str], item: &str) -> bool {
    list.iter().any(|entry| *entry == "*" || *entry == item)
}

fn covers_resource(pattern: &str, a: &Attributes<'_>) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || (pattern == a.resource && a.subresource.is_empty()),
        Some((resource, subresource)) => resource == a.resource && subresource == a.subresource,
    }
}

fn covers_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}
