//! Reads the tables in `data/` into rows; knows their columns and nothing of what they mean.

use std::collections::{BTreeMap, HashMap};

use super::facts;

const WIRE: &str = include_str!("../../data/protobuf-fields.tsv");
const JSON: &str = include_str!("../../data/json-fields.tsv");
const MERGE: &str = include_str!("../../data/merge-keys.tsv");

/// A field as the tables spell it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) repeated: bool,
    /// A scalar's name, a message's name in OpenAPI, or `map<string,…>` of either.
    pub(super) shape: String,
    pub(super) required: bool,
    pub(super) inlined: bool,
}

/// How a field, or a type where the field is empty, merges.
#[derive(Debug, Default)]
pub(super) struct Merge {
    pub(super) list_type: &'static str,
    pub(super) keys: &'static str,
    pub(super) map_type: &'static str,
    pub(super) strategy: &'static str,
    pub(super) merge_key: &'static str,
}

pub(super) type Fields = BTreeMap<String, Vec<Row>>;
pub(super) type Merges = HashMap<(&'static str, &'static str), Merge>;

pub(super) fn openapi_name(package: &str, message: &str) -> String {
    let package = package
        .replace("apiextensions_apiserver", "apiextensions-apiserver")
        .replace("kube_aggregator", "kube-aggregator");
    match package.strip_prefix("k8s.io.") {
        Some(rest) => format!("io.k8s.{rest}.{message}"),
        None => format!("{package}.{message}"),
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split('\t').collect())
}

pub(super) fn fields() -> Fields {
    let mut fields = Fields::new();
    for line in lines(WIRE) {
        let [package, message, number, field, label, shape] = line[..] else { continue };
        let rows = fields.entry(openapi_name(package, message)).or_default();
        let Ok(number) = number.parse() else { continue };
        rows.push(Row {
            name: facts::json_name(message, field),
            number,
            repeated: label == "repeated",
            shape: shape_name(package, shape),
            required: false,
            inlined: facts::is_inlined(message, field),
        });
    }
    for line in lines(JSON) {
        let [message, name, required, label, shape] = line[..] else { continue };
        add_json(fields.entry(message.to_owned()).or_default(), name, required == "required", label, shape);
    }
    fields
}

fn add_json(rows: &mut Vec<Row>, name: &str, required: bool, label: &str, shape: &str) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.required = required,
        None => rows.push(Row {
            name: name.to_owned(),
            number: 0,
            repeated: label == "repeated",
            shape: shape.to_owned(),
            required,
            inlined: false,
        }),
    }
}

/// The scalar or full name of a type that the wire table may give relative to its package.
fn shape_name(package: &str, shape: &str) -> String {
    if let Some(value) = shape.strip_prefix("map<string,").and_then(|rest| rest.strip_suffix('>')) {
        return format!("map<string,{}>", shape_name(package, value));
    }
    match shape {
        "string" | "bool" | "int32" | "int64" | "double" | "bytes" => shape.to_owned(),
        full if full.starts_with('.') => {
            let (package, message) = full[1..].rsplit_once('.').unwrap_or((package, full));
            openapi_name(package, message)
        }
        name => openapi_name(package, name),
    }
}

pub(super) fn merges() -> Merges {
    lines(MERGE)
        .filter_map(|line| {
            let [ty, field, list_type, keys, map_type, strategy, merge_key] = line[..] else { return None };
            Some(((ty, field), Merge { list_type, keys, map_type, strategy, merge_key }))
        })
        .collect()
}
