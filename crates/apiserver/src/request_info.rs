//! Reads once, from method, path and query, what a request wants. It never looks at the body.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::query::Query;

/// What a request wants, as authorisation and routing see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// The path as it was sent.
    pub(crate) path: String,
    /// `get`, `list`, `watch`, `create`, … or the method in lower case outside the API's resources.
    pub(crate) verb: &'static str,
    /// True when the path names a resource.
    pub(crate) is_resource: bool,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    /// What follows the subresource: a proxied path. `None` when nothing follows.
    pub(crate) rest: Option<String>,
    /// The deprecated form of a watch, below `/watch/`.
    pub(crate) legacy_watch: bool,
}

impl RequestInfo {
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self { path: path.to_owned(), verb: plain_verb(method), ..Self::default() };
        // A slash ends a name even when it is encoded.
        let cut = if path.contains("%2f") || path.contains("%2F") { decode(path) } else { path.to_owned() };
        let segments: Vec<&str> = cut.trim_matches('/').split('/').collect();
        if cut.starts_with("//") {
            return info;
        }
        let rest = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = decode(version);
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                (info.group, info.version) = (decode(group), decode(version));
                rest
            }
            _ => return info,
        };
        let rest = match rest {
            ["watch", below @ ..] if !below.is_empty() => {
                info.legacy_watch = true;
                below
            }
            rest => rest,
        };
        info.is_resource = true;
        info.locate(rest);
        info.verb = info.resource_verb(method, query);
        if info.name.is_empty() && matches!(info.verb, "list" | "watch" | "deletecollection") {
            info.name = selected_name(query).unwrap_or_default();
        }
        info
    }

    /// True when the path itself names an object.
    pub(crate) fn names_object(&self) -> bool {
        !self.name.is_empty() && !matches!(self.verb, "list" | "watch" | "deletecollection")
    }

    fn locate(&mut self, segments: &[&str]) {
        let parts = match segments {
            // A namespace is itself inside the namespace that it names.
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = decode(namespace);
                if rest.is_empty() || matches!(rest[0], "status" | "finalize") { segments } else { rest }
            }
            segments => segments,
        };
        let mut parts = parts.iter();
        let mut next = || parts.next().map(|part| decode(part)).unwrap_or_default();
        (self.resource, self.name, self.subresource) = (next(), next(), next());
        let rest: Vec<&str> = parts.copied().collect();
        self.rest = (!rest.is_empty()).then(|| format!("/{}", rest.join("/")));
    }

    fn resource_verb(&self, method: &Method, query: &Query) -> &'static str {
        let collection = self.name.is_empty();
        match *method {
            _ if self.legacy_watch => "watch",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            Method::GET | Method::HEAD if !collection => "get",
            Method::GET | Method::HEAD if query.flag("watch") => "watch",
            Method::GET | Method::HEAD => "list",
            _ => "",
        }
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// The name in a field selector that demands exactly one, so that a permission for one name covers its watch.
fn selected_name(query: &Query) -> Option<String> {
    let selector = query.get("fieldSelector")?;
    let name = selector.split(',').find_map(|term| {
        let term = term.strip_prefix("metadata.name=")?;
        Some(term.strip_prefix('=').unwrap_or(term))
    })?;
    (!name.is_empty() && !name.contains('\\')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, target: &str) -> RequestInfo {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        RequestInfo::parse(&method, path, &Query::parse(query))
    }

    fn check(method: Method, target: &str, expected: [&str; 7]) {
        let i = parse(method, target);
        let found = [i.verb, &i.group, &i.version, &i.namespace, &i.resource, &i.name, &i.subresource];
        assert_eq!(found, expected, "{target}");
        assert!(i.is_resource);
    }

    #[test]
    fn paths_of_resources_are_taken_apart() {
        check(Method::GET, "/api/v1/namespaces/a/pods", ["list", "", "v1", "a", "pods", "", ""]);
        check(Method::GET, "/api/v1/pods?watch=1", ["watch", "", "v1", "", "pods", "", ""]);
        check(Method::GET, "/api/v1/namespaces/a/pods/p/log", ["get", "", "v1", "a", "pods", "p", "log"]);
        check(Method::GET, "/api/v1/namespaces/a", ["get", "", "v1", "a", "namespaces", "a", ""]);
        check(Method::PUT, "/api/v1/namespaces/a/finalize", ["update", "", "v1", "a", "namespaces", "a", "finalize"]);
        check(Method::GET, "/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]);
        check(
            Method::PATCH,
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            ["patch", "apps", "v1", "a", "deployments", "d", "scale"],
        );
        check(
            Method::DELETE,
            "/apis/apps/v1/namespaces/a/deployments",
            ["deletecollection", "apps", "v1", "a", "deployments", "", ""],
        );
        check(Method::GET, "/api/v1/watch/namespaces/a/pods", ["watch", "", "v1", "a", "pods", "", ""]);
        check(Method::GET, "/api/v1/nodes/n%3A1", ["get", "", "v1", "", "nodes", "n:1", ""]);
    }

    #[test]
    fn a_selector_of_one_name_is_that_name_for_authorisation() {
        let info = parse(Method::GET, "/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Ds&watch=true");
        assert_eq!((info.verb, info.name.as_str(), info.names_object()), ("watch", "s", false));
    }

    #[test]
    fn a_proxied_path_is_kept() {
        let info = parse(Method::GET, "/api/v1/namespaces/a/pods/p/proxy/x/y");
        assert_eq!((info.subresource.as_str(), info.rest.as_deref()), ("proxy", Some("/x/y")));
    }

    #[test]
    fn a_path_with_a_gap_leads_nowhere() {
        assert_eq!(parse(Method::GET, "/api/v1//pods").resource, "");
        assert_eq!(parse(Method::GET, "/api/v1/namespaces//pods/p").namespace, "");
        assert!(!parse(Method::GET, "//api/v1/pods").is_resource);
        check(Method::GET, "/api/v1/namespaces/a/pods/", ["list", "", "v1", "a", "pods", "", ""]);
    }

    #[test]
    fn an_encoded_slash_is_a_slash() {
        check(Method::GET, "/api/v1/namespaces/a/pods/p%2Flog", ["get", "", "v1", "a", "pods", "p", "log"]);
    }

    #[test]
    fn whatever_the_method_a_watch_path_is_a_watch() {
        check(Method::POST, "/api/v1/watch/namespaces/a/pods", ["watch", "", "v1", "a", "pods", "", ""]);
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/", "/healthz", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/openapi/v3"] {
            let info = parse(Method::GET, path);
            assert!(!info.is_resource && info.verb == "get", "{path}");
        }
    }
}
