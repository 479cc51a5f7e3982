//! A pod's containers, and how several of them are named in a sentence.

use serde_json::Value;

use super::Pod;
use crate::validation::go_quote;

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

impl Pod<'_> {
    pub(super) fn containers(&self) -> impl Iterator<Item = &Value> {
        LISTS.iter().flat_map(|list| items(&self.spec[*list]))
    }

    /// The names of the containers with a security context that is `bad`.
    pub(super) fn bad_containers(&self, mut bad: impl FnMut(&Value) -> bool) -> Vec<String> {
        self.containers().filter(|container| bad(&container["securityContext"])).map(name).collect()
    }

    pub(super) fn context(&self) -> &Value {
        &self.spec["securityContext"]
    }

    pub(super) fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }
}

pub(super) fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn name(object: &Value) -> String {
    object["name"].as_str().unwrap_or_default().to_owned()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `"a", "b"`.
pub(super) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| go_quote(name)).collect::<Vec<_>>().join(", ")
}

pub(super) fn plural<'w>(one: &'w str, many: &'w str, n: usize) -> &'w str {
    if n == 1 { one } else { many }
}

/// `container "a"`, or `containers "a", "b"`.
pub(super) fn containers(names: &[String]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`.
pub(super) fn setters(pod: bool, names: &[String]) -> Option<String> {
    let own = pod.then(|| "pod".to_owned());
    let theirs = (!names.is_empty()).then(|| containers(names));
    let all: Vec<String> = own.into_iter().chain(theirs).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// Sorted and without repetition, as Go's sets are listed.
pub(super) fn set(mut items: Vec<String>) -> Vec<String> {
    items.sort();
    items.dedup();
    items
}
