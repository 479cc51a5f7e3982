//! Nodes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Columns, age, name, or_none, text};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";

pub(crate) fn node() -> Columns {
    Columns::of("Node", cells)
}

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let info = &object["status"]["nodeInfo"];
    vec![
        name(object),
        json!(status(object)),
        or_none(&roles(object)),
        age(object, now),
        json!(text(&info["kubeletVersion"])),
        or_none(address(object, "InternalIP")),
        or_none(address(object, "ExternalIP")),
        known(text(&info["osImage"]).to_owned()),
        known(kernel(info)),
        known(text(&info["containerRuntimeVersion"]).to_owned()),
    ]
}

fn known(text: String) -> Value {
    json!(if text.is_empty() { "<unknown>".to_owned() } else { text })
}

fn kernel(info: &Value) -> String {
    match (text(&info["kernelVersion"]), text(&info["architecture"])) {
        ("", _) => String::new(),
        (kernel, "") => kernel.to_owned(),
        (kernel, architecture) => format!("{kernel} ({architecture})"),
    }
}

fn status(node: &Value) -> String {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let word = match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node["spec"]["unschedulable"] == true { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()).filter(|role| !role.is_empty()),
        None => Some(text(value).to_owned()).filter(|role| key == ROLE_LABEL && !role.is_empty()),
    };
    let mut roles: Vec<String> = labels.filter_map(role).collect();
    roles.sort();
    roles.dedup();
    roles.join(",")
}

fn address<'v>(node: &'v Value, kind: &str) -> &'v str {
    let mut addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    addresses.find(|address| address["type"] == kind).map_or("", |address| text(&address["address"]))
}
