//! Acting as somebody else, as the `Impersonate-*` headers ask: only for who may, and from then on with nothing of one's
//! own. It follows upstream's impersonation filter.

use coracle_api::identity::{AUTHENTICATED, UNAUTHENTICATED, User};
use coracle_api::status::{Attributes, Status};
use coracle_api::validation::go_quote;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::authorize;
use crate::query::Query;
use crate::state::State;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const GROUP_OF_REVIEWS: &str = "authentication.k8s.io";

/// Who `user` acts as in a request with these headers: mostly themselves.
pub(crate) async fn impersonate(state: &State, user: User, headers: &HeaderMap, query: &Query) -> Result<User, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    for asked in permissions(&wanted) {
        if let Some(why) = authorize::check(state, &user, &asked.attributes(), query).await? {
            return Err(Status::denied(&user, &asked.attributes(), &why));
        }
    }
    Ok(completed(wanted))
}

/// What the headers ask for. To ask for a part of somebody without a name is an error.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let texts = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok().map(str::to_owned));
    let mut user = User {
        name: texts(USER).next().unwrap_or_default(),
        uid: texts(UID).next().unwrap_or_default(),
        groups: texts(GROUP).collect(),
        ..User::default()
    };
    for key in headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA)) {
        let decoded = percent_decode_str(key).decode_utf8_lossy().into_owned();
        user.extra.insert(decoded, texts(&format!("{EXTRA}{key}")).collect());
    }
    let asks = !user.groups.is_empty() || !user.uid.is_empty() || !user.extra.is_empty();
    match (user.name.is_empty(), asks) {
        (true, true) => {
            Err(Status::bad_request(format!("requested {} without impersonating a user name", shown(&user))))
        }
        (true, false) => Ok(None),
        (false, _) => Ok(Some(user)),
    }
}

/// Somebody without a name, as `%#v` prints them.
fn shown(user: &User) -> String {
    let texts = |texts: &[String]| texts.iter().map(|text| go_quote(text)).collect::<Vec<_>>().join(", ");
    let groups = match &user.groups[..] {
        [] => "(nil)".to_owned(),
        groups => format!("{{{}}}", texts(groups)),
    };
    let member = |(key, values): (&String, &Vec<String>)| format!("{}:[]string{{{}}}", go_quote(key), texts(values));
    let extra = match user.extra.len() {
        0 => "(nil)".to_owned(),
        _ => format!("{{{}}}", user.extra.iter().map(member).collect::<Vec<_>>().join(", ")),
    };
    let uid = go_quote(&user.uid);
    format!("&user.DefaultInfo{{Name:\"\", UID:{uid}, Groups:[]string{groups}, Extra:map[string][]string{extra}}}")
}

/// One thing that who impersonates must be allowed to take on.
struct Permission<'a> {
    group: &'static str,
    resource: &'static str,
    subresource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl Permission<'_> {
    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: "impersonate",
            group: self.group,
            resource: self.resource,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            path: "",
        }
    }
}

fn permissions(wanted: &User) -> Vec<Permission<'_>> {
    let simple = |group, resource, name| Permission { group, resource, subresource: "", namespace: "", name };
    let mut all = vec![match wanted.service_account_name() {
        Some((namespace, name)) => Permission { namespace, ..simple("", "serviceaccounts", name) },
        None => simple("", "users", wanted.name.as_str()),
    }];
    all.extend(wanted.groups.iter().map(|group| simple("", "groups", group.as_str())));
    if !wanted.uid.is_empty() {
        all.push(simple(GROUP_OF_REVIEWS, "uids", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        let each = values.iter().map(|value| simple(GROUP_OF_REVIEWS, "userextras", value.as_str()));
        all.extend(each.map(|permission| Permission { subresource: key, ..permission }));
    }
    all
}

/// Adds the groups that an identity has by its nature.
fn completed(mut wanted: User) -> User {
    if let (Some((namespace, name)), true) = (wanted.service_account_name(), wanted.groups.is_empty()) {
        wanted.groups = User::service_account(namespace, name, "").groups;
    }
    let natural = if wanted.is_anonymous() { UNAUTHENTICATED } else { AUTHENTICATED };
    if !wanted.is_in(AUTHENTICATED) && !wanted.is_in(UNAUTHENTICATED) {
        wanted.groups.push(natural.to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn nobody_is_meant_without_a_name() {
        assert_eq!(wanted(&headers(&[("accept", "*/*")])).unwrap(), None);
        let nameless = wanted(&headers(&[(GROUP, "g"), ("impersonate-extra-scopes", "x")])).unwrap_err();
        let asked = r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string{"scopes":[]string{"x"}}}"#;
        assert_eq!((nameless.code, nameless.message), (400, format!("{asked} without impersonating a user name")));
    }

    #[test]
    fn everything_that_is_taken_on_needs_a_permission() {
        let pairs = [(USER, "bob"), (GROUP, "a"), (GROUP, "b"), (UID, "u"), ("impersonate-extra-x%2fy", "1")];
        let wanted = wanted(&headers(&pairs)).unwrap().unwrap();
        let asked: Vec<_> =
            permissions(&wanted).iter().map(|p| (p.resource, p.subresource.to_owned(), p.name.to_owned())).collect();
        let expected = [
            ("users", "", "bob"),
            ("groups", "", "a"),
            ("groups", "", "b"),
            ("uids", "", "u"),
            ("userextras", "x/y", "1"),
        ];
        assert_eq!(asked, expected.map(|(resource, key, name)| (resource, key.to_owned(), name.to_owned())));
        assert!(completed(wanted).is_in(AUTHENTICATED));
    }

    #[test]
    fn a_service_account_keeps_its_groups() {
        let wanted = wanted(&headers(&[(USER, "system:serviceaccount:shop:cart")])).unwrap().unwrap();
        assert_eq!(permissions(&wanted)[0].namespace, "shop");
        assert!(completed(wanted).is_in("system:serviceaccounts:shop"));
    }
}
