//! What a client is told about an object that is accepted all the same, in upstream's words.

use serde_json::Value;

use crate::names;
use crate::validation::Cursor;

mod config;
mod ips;
mod network;
mod node;
mod pod;
mod ports;
mod volumes;

pub(crate) use config::{secret, service_account};
pub(crate) use network::{endpoint_slice, endpoints, service};
pub(crate) use node::node;
pub(crate) use pod::{pod, pod_template, template};

/// The name becomes part of pods' names and host names.
pub(crate) fn workload_name(object: &Value, warnings: &mut Vec<String>) {
    let problems = names::dns_label(crate::kind::name_of(object));
    if !problems.is_empty() {
        let why = "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended";
        warnings.push(format!("metadata.name: {why}: [{}]", problems.join(" ")));
    }
}

/// A workload with its template in `spec.template`: the template is looked at when it is new or the spec has changed.
pub(crate) fn workload(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_new = old.is_none();
    if is_new {
        workload_name(new, &mut warnings);
    }
    if is_new || old.is_some_and(|old| crate::kind::generation_of(old) != crate::kind::generation_of(new)) {
        let root = Cursor::root(new);
        let spec = root.field("spec");
        template(spec.field("template"), &mut warnings);
    }
    warnings
}

#[cfg(test)]
mod tests;
