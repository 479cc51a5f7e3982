//! Kinds that are sent and answered, and never kept: bindings, and reviews of who one is and what one may do.

use super::{row, strings};
use crate::kind::Kind;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

pub(super) fn core() -> Vec<Kind> {
    vec![Kind { verbs: strings(&["create"]), ..row("", "v1", "Binding", "bindings") }]
}

pub(super) fn rows() -> Vec<Kind> {
    vec![
        review(AUTHENTICATION, "SelfSubjectReview"),
        review(AUTHENTICATION, "TokenReview"),
        Kind { namespaced: true, ..review(AUTHORIZATION, "LocalSubjectAccessReview") },
        review(AUTHORIZATION, "SelfSubjectAccessReview"),
        review(AUTHORIZATION, "SelfSubjectRulesReview"),
        review(AUTHORIZATION, "SubjectAccessReview"),
    ]
}

fn review(group: &str, kind: &str) -> Kind {
    let plural = format!("{}s", kind.to_lowercase());
    Kind { namespaced: false, verbs: strings(&["create"]), ..row(group, "v1", kind, &plural) }
}
