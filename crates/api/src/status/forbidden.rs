//! What authorisation says when it refuses.

use super::Status;
use crate::identity::User;
use crate::kind::Resource;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    /// Empty for a path outside the API's resources.
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub path: &'a str,
}

pub(super) fn denied(user: &User, attributes: &Attributes<'_>, why: &str) -> Status {
    let mut text = explain(user, attributes);
    if !why.is_empty() {
        text.push_str(": ");
        text.push_str(why);
    }
    let resource = Resource { group: attributes.group, name: attributes.resource };
    Status::forbidden(resource, attributes.name, &text)
}

fn explain(user: &User, a: &Attributes<'_>) -> String {
    let user = &user.name;
    let verb = a.verb;
    if a.resource.is_empty() {
        return format!("User \"{user}\" cannot {verb} path \"{}\"", a.path);
    }
    let resource =
        if a.subresource.is_empty() { a.resource.to_owned() } else { format!("{}/{}", a.resource, a.subresource) };
    let place = if a.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", a.namespace)
    };
    format!("User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{}\" {place}", a.group)
}
