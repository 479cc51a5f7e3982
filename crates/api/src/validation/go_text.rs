//! Objects as Go prints its own structures, which is what upstream shows of a change that it refuses.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::error::go_json;

mod diff;

const DECLARATIONS: &str = include_str!("go_text/pod.txt");
static NULL: Value = Value::Null;
static TYPES: LazyLock<BTreeMap<&str, Vec<Field>>> = LazyLock::new(types);
/// What the API has in a pod's spec and Go in its security context.
const OF_THE_HOST: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];

#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    api_name: &'static str,
    go_type: &'static str,
}

/// What differs between two specs of pods.
pub(super) fn spec_diff(old: &Value, new: &Value) -> String {
    diff::unified(&print(&internal(old), "PodSpec"), &print(&internal(new), "PodSpec"))
}

/// What differs between two structures of a type that a pod's spec has.
pub(super) fn struct_diff(go_type: &str, old: &Value, new: &Value) -> String {
    diff::unified(&print(old, go_type), &print(new, go_type))
}

/// A structure in one line, as errors show values.
pub(super) fn shown(go_type: &str, value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, go_type, Layout::Line);
    out
}

/// How structures are broken into lines.
#[derive(Clone, Copy)]
enum Layout {
    Line,
    /// One field a line, this far to the right.
    Indented(usize),
}

impl Layout {
    fn inner(self) -> Self {
        match self {
            Self::Line => Self::Line,
            Self::Indented(depth) => Self::Indented(depth + 1),
        }
    }

    fn new_line(self, out: &mut String) {
        if let Self::Indented(depth) = self {
            out.push('\n');
            out.push_str(&" ".repeat(depth));
        }
    }
}

fn internal(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let Some(fields) = spec.as_object_mut() else { return spec };
    let moved: Map<String, Value> =
        OF_THE_HOST.iter().filter_map(|name| Some(((*name).to_owned(), fields.remove(*name)?))).collect();
    let context = fields.entry("securityContext").or_insert(Value::Null);
    if context.is_null() {
        *context = Value::Object(Map::new());
    }
    context.as_object_mut().into_iter().for_each(|context| context.extend(moved.clone()));
    spec
}

fn types() -> BTreeMap<&'static str, Vec<Field>> {
    let mut types: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    let mut current = "";
    for line in DECLARATIONS.lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            continue;
        };
        let fields = match field.split(' ').collect::<Vec<_>>().as_slice() {
            ["+", embedded] => types.get(embedded).cloned().unwrap_or_default(),
            [name, api_name, go_type] => vec![Field { name, api_name, go_type }],
            _ => Vec::new(),
        };
        types.entry(current).or_default().extend(fields);
    }
    types
}

fn print(value: &Value, go_type: &str) -> String {
    let mut out = String::new();
    write(&mut out, value, go_type, Layout::Indented(0));
    out
}

fn write(out: &mut String, value: &Value, go_type: &str, layout: Layout) {
    if let Some(inner) = go_type.strip_prefix('?') {
        return write(out, value, inner, layout);
    }
    if let Some(inner) = go_type.strip_prefix('*') {
        return if value.is_null() { out.push_str("null") } else { write(out, value, inner, layout) };
    }
    if let Some(inner) = go_type.strip_prefix("[]") {
        return list(out, value, inner, layout);
    }
    match (go_type, value) {
        ("map", Value::Object(entries)) => {
            let entries = entries.iter().map(|(key, value)| (key.as_str(), value, "string"));
            block(out, ['{', '}'], entries.collect(), layout);
        }
        ("map", _) => out.push_str("null"),
        ("string", Value::Null) => out.push_str("\"\""),
        ("int", Value::Null) => out.push('0'),
        ("bool", Value::Null) => out.push_str("false"),
        ("quantity", Value::Null) => out.push_str("\"0\""),
        ("string" | "int" | "bool" | "quantity" | "any", value) => out.push_str(&go_json(value)),
        (name, value) => {
            let fields = TYPES.get(name).map(Vec::as_slice).unwrap_or_default();
            let given = fields.iter().map(|field| (field.name, at(value, field.api_name), field.go_type));
            let shown = given.filter(|(_, value, go_type)| !go_type.starts_with('?') || !is_empty(value));
            block(out, ['{', '}'], shown.collect(), layout);
        }
    }
}

/// A field, or one of a field: `metadata.labels`.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, name| value.get(name).unwrap_or(&NULL))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn list(out: &mut String, value: &Value, go_type: &str, layout: Layout) {
    match value.as_array() {
        None => out.push_str("null"),
        Some(items) => block(out, ['[', ']'], items.iter().map(|item| ("", item, go_type)).collect(), layout),
    }
}

/// What stands between brackets: fields with names, items without.
fn block(out: &mut String, brackets: [char; 2], entries: Vec<(&str, &Value, &str)>, layout: Layout) {
    let inner = layout.inner();
    out.push(brackets[0]);
    for (i, (name, value, go_type)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        inner.new_line(out);
        if brackets[0] == '{' {
            out.push_str(&go_json(&Value::from(*name)));
            out.push_str(if matches!(layout, Layout::Line) { ":" } else { ": " });
        }
        write(out, value, go_type, inner);
    }
    if !entries.is_empty() {
        layout.new_line(out);
    }
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_is_named_is_declared() {
        for field in TYPES.values().flatten() {
            let name = field.go_type.trim_start_matches(['?', '*', '[', ']']);
            let plain = ["string", "int", "bool", "quantity", "map", "any"].contains(&name);
            assert!(plain || TYPES.contains_key(name), "{} {name}", field.name);
        }
    }

    #[test]
    fn a_value_is_shown_in_one_line() {
        assert_eq!(
            shown("Toleration", &json!({"operator": "Exists", "value": "v"})),
            r#"{"Key":"","Operator":"Exists","Value":"v","Effect":"","TolerationSeconds":null}"#
        );
    }

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let old = json!({"containers": [{"name": "c", "image": "c:2", "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "activeDeadlineSeconds": 100, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "serviceAccountName": "default", "terminationGracePeriodSeconds": 30});
        let changed = |field: &str, value: Value| {
            let mut new = old.clone();
            new[field] = value;
            spec_diff(&old, &new)
        };
        assert_eq!(
            changed("restartPolicy", json!("Never")),
            "@@ -35,7 +35,7 @@\n   }\n  ],\n  \"EphemeralContainers\": null,\n- \"RestartPolicy\": \"Always\",\n+ \"RestartPolicy\": \"Never\",\n  \"TerminationGracePeriodSeconds\": 30,\n  \"ActiveDeadlineSeconds\": 100,\n  \"DNSPolicy\": \"ClusterFirst\",\n"
        );
        assert_eq!(
            changed("hostname", json!("h")),
            "@@ -64,7 +64,7 @@\n   \"SELinuxChangePolicy\": null\n  },\n  \"ImagePullSecrets\": null,\n- \"Hostname\": \"\",\n+ \"Hostname\": \"h\",\n  \"Subdomain\": \"\",\n  \"SetHostnameAsFQDN\": null,\n  \"Affinity\": null,\n"
        );
        assert_eq!(
            changed("nodeSelector", json!({"a": "b"})),
            "@@ -39,7 +39,9 @@\n  \"TerminationGracePeriodSeconds\": 30,\n  \"ActiveDeadlineSeconds\": 100,\n  \"DNSPolicy\": \"ClusterFirst\",\n- \"NodeSelector\": null,\n+ \"NodeSelector\": {\n+  \"a\": \"b\"\n+ },\n  \"ServiceAccountName\": \"default\",\n  \"AutomountServiceAccountToken\": null,\n  \"NodeName\": \"\",\n"
        );
    }
}
