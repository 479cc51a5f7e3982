//! Who asks: the identity that authentication found, and that every authorisation decision is about.

use std::collections::BTreeMap;

/// The name of a caller that presented no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of callers that presented no credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of every caller that presented credentials.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of every node.
pub const NODES: &str = "system:nodes";

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const NODE: &str = "system:node:";

/// A caller. In-process callers carry theirs in the request's extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// An authenticated caller with `groups` besides `system:authenticated`.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain([AUTHENTICATED]).map(str::to_owned).collect();
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// A caller without credentials.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// The cluster's administrator.
    pub fn admin() -> Self {
        Self::new("kubernetes-admin", &[MASTERS])
    }

    /// The agent of the node `name`.
    pub fn node(name: &str) -> Self {
        Self::new(format!("{NODE}{name}"), &[NODES])
    }

    /// A service account, as the tokens of its pods say.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let all = "system:serviceaccounts";
        let user = Self::new(format!("{SERVICE_ACCOUNT}{namespace}:{name}"), &[all, &format!("{all}:{namespace}")]);
        Self { uid: uid.to_owned(), ..user }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// The node that this caller is the agent of.
    pub fn node_name(&self) -> Option<&str> {
        if self.is_in(NODES) { self.name.strip_prefix(NODE) } else { None }
    }

    /// The namespace and name of the service account that this caller is.
    pub fn service_account_name(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_name_and_group() {
        assert_eq!(User::node("n1").node_name(), Some("n1"));
        assert_eq!(User::new("system:node:n1", &[]).node_name(), None);
    }

    #[test]
    fn a_service_account_is_in_the_group_of_its_namespace() {
        let user = User::service_account("shop", "cart", "u");
        assert_eq!(user.service_account_name(), Some(("shop", "cart")));
        assert!(user.is_in("system:serviceaccounts:shop") && user.is_in(AUTHENTICATED));
    }
}
