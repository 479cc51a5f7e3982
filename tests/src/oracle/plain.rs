//! Replaces what differs on every run: uids, versions, times, allocated addresses and ports, random suffixes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::step::Names;

static TIME: LazyLock<Regex> = LazyLock::new(|| regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"));
static UUID: LazyLock<Regex> = LazyLock::new(|| regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static IP: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(10|fd[0-9a-f]{2})[.:][0-9a-f.:]+\b"));
static RANDOM: LazyLock<Regex> = LazyLock::new(|| regex("^.+-[bcdfghjklmnpqrstvwxz2456789]{5}$"));
static AGE: LazyLock<Regex> = LazyLock::new(|| regex(r"^(\d+[smhdy])+$"));
static NODE_PORT: LazyLock<Regex> = LazyLock::new(|| regex(r":3[0-2]\d{3}/"));

/// The length of a name's random suffix.
const N_RANDOM: usize = 5;
/// A saved value shorter than this stands in too many places by chance.
const SAVED_MIN: usize = 4;
/// The recorded server's distribution adds one source of certificates of its own.
const NOT_KUBERNETES: &str = "openshift-service-ca.crt";

/// What an answer is read with.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) names: &'a Names,
    /// The step as text: what was asked for is compared as it is.
    pub(super) asked: &'a str,
    /// Whether managedFields are compared.
    pub(super) managed: bool,
}

impl Plain<'_> {
    pub(super) fn value(self, value: &Value) -> Value {
        self.under("", value)
    }

    fn under(self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => self.object(fields),
            Value::Array(values) => {
                let foreign = |value: &Value| key == "sources" && value.to_string().contains(NOT_KUBERNETES);
                values.iter().filter(|value| !foreign(value)).map(|value| self.under(key, value)).collect()
            }
            Value::Null => Value::Null,
            Value::String(text) if text.is_empty() => value.clone(),
            _ if matches!(key, "uid" | "resourceVersion" | "continue") => format!("<{key}>").into(),
            Value::Number(port) if matches!(key, "nodePort" | "healthCheckNodePort") => {
                if self.asked.contains(&port.to_string()) { value.clone() } else { "<port>".into() }
            }
            Value::String(text) => self.text(key, text).into(),
            Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn object(self, fields: &Map<String, Value>) -> Value {
        let mut out = Map::new();
        for (key, value) in fields {
            if key != "managedFields" {
                out.insert(self.text("", key), self.under(key, value));
            } else if self.managed {
                out.insert(key.clone(), self.owners(value));
            }
        }
        if out.get("kind") == Some(&"Table".into()) {
            let rows = out.get("rows").and_then(Value::as_array).map(|rows| rows.iter().map(cells_as_text).collect());
            out.insert("rows".into(), rows.unwrap_or_else(|| Value::Array(Vec::new())));
        }
        Value::Object(out)
    }

    /// managedFields without times, in an order of our own.
    fn owners(self, value: &Value) -> Value {
        let mut entries: Vec<Value> = value.as_array().into_iter().flatten().map(|entry| self.owner(entry)).collect();
        entries.sort_by_key(Value::to_string);
        Value::Array(entries)
    }

    fn owner(self, entry: &Value) -> Value {
        let fields = entry.as_object().into_iter().flatten().filter(|(key, _)| *key != "time");
        fields.map(|(key, value)| (key.clone(), self.value(value))).collect()
    }

    fn text(self, key: &str, text: &str) -> String {
        let mut text = text.to_owned();
        let mut saved: Vec<(&String, &str)> =
            self.names.iter().filter_map(|(name, value)| Some((name, value.as_str()?))).collect();
        saved.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        for (name, value) in saved.into_iter().filter(|(_, value)| value.len() >= SAVED_MIN) {
            if text.contains(value) {
                text = text.replace(value, &format!("${{{name}}}"));
            }
        }
        let text = TIME.replace_all(&text, "<time>");
        let text = UUID.replace_all(&text, "<uid>");
        let asked = |found: &regex::Captures<'_>| {
            if self.asked.contains(&found[0]) { found[0].to_owned() } else { "<ip>".to_owned() }
        };
        let text = IP.replace_all(&text, asked);
        if key == "name" && RANDOM.is_match(&text) && !self.asked.contains(&*text) {
            return format!("{}<random>", &text[..text.len() - N_RANDOM]);
        }
        text.into_owned()
    }
}

/// What two runs may show differently in a table's cells: ages, and the ports that were allocated.
pub(super) fn settle(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), settle(value))).collect(),
        Value::Array(values) => values.iter().map(settle_item).collect(),
        Value::Number(number) => whole(number).map_or_else(|| value.clone(), Value::from),
        _ => value.clone(),
    }
}

fn settle_item(value: &Value) -> Value {
    match value {
        Value::String(text) => NODE_PORT.replace_all(&AGE.replace(text, "<age>"), ":<port>/").into(),
        other => settle(other),
    }
}

/// 1.0 is 1.
fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
    Some(float as i64)
}

fn cells_as_text(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        let cells = fields.get("cells").and_then(Value::as_array).into_iter().flatten();
        let cells: Vec<String> = cells.map(|cell| AGE.replace(&cell_text(cell), "<age>").into_owned()).collect();
        fields.insert("cells".into(), cells.into());
    }
    row
}

/// A cell as the recorder wrote it, which was a Python program.
fn cell_text(cell: &Value) -> String {
    match cell {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let quoted = |value: &Value| value.as_str().map_or_else(|| cell_text(value), |text| format!("'{text}'"));
            format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
        }
        Value::Number(_) | Value::Object(_) => cell.to_string(),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is written here")
}
