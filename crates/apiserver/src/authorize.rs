//! May this user do this? A table of rules for the identities that every cluster has, and the nodes' own rules.
//!
//! **Invariant:** nobody passes by another way. In-process callers are users as all others are.

mod node;
mod rules;

use coracle_api::identity::{MASTERS, User};
use coracle_api::status::{Attributes, Status};

use serde_json::{Value, json};

use crate::query::Query;
use crate::request_info::RequestInfo;
use crate::state::State;

/// What the rules say, before the world is asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow,
    /// Nothing allows it. Says why, where there is more to say.
    NoOpinion(String),
    /// Allowed when a pod on this node needs the object.
    IfNodeNeeds {
        node: String,
    },
    /// Allowed when the pod that is named runs on this node.
    IfPodOnNode {
        node: String,
    },
}

/// Lets `user` pass, or says in upstream's words why not.
pub(crate) async fn authorize(state: &State, user: &User, info: &RequestInfo, query: &Query) -> Result<(), Status> {
    let attributes = attributes(info);
    let why = match check(state, user, &attributes, query).await? {
        None => return Ok(()),
        Some(why) => why,
    };
    Err(Status::denied(user, &attributes, &why))
}

/// `None` when `user` may; otherwise why not, which may be empty.
pub(crate) async fn check(
    state: &State,
    user: &User,
    attributes: &Attributes<'_>,
    query: &Query,
) -> Result<Option<String>, Status> {
    match decide(user, attributes, query) {
        Decision::Allow => Ok(None),
        Decision::NoOpinion(why) => Ok(Some(why)),
        Decision::IfNodeNeeds { node } => node::needs(state, &node, attributes).await,
        Decision::IfPodOnNode { node } => node::runs(state, &node, attributes).await,
    }
}

/// The rules alone, without the world.
pub(crate) fn decide(user: &User, attributes: &Attributes<'_>, query: &Query) -> Decision {
    if user.is_in(MASTERS) || rules::allow(user, attributes) {
        return Decision::Allow;
    }
    match user.node_name() {
        Some(node) => node::decide(node, attributes, query),
        None => Decision::NoOpinion(String::new()),
    }
}

/// What the table allows `user`: rules about resources, and about paths.
pub(crate) fn rules_of(user: &User) -> (Vec<Value>, Vec<Value>) {
    if user.is_in(MASTERS) {
        let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        return (vec![everything], vec![json!({"verbs": ["*"], "nonResourceURLs": ["*"]})]);
    }
    rules::rules_of(user)
}

/// What a request wants, in the words of authorisation.
pub(crate) fn attributes(info: &RequestInfo) -> Attributes<'_> {
    Attributes {
        verb: info.verb,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
    }
}

#[cfg(test)]
mod tests;
