//! The columns that `kubectl get` shows, and the `Table` and `PartialObjectMetadata` forms of objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::Kind;

mod age;
pub(crate) mod apps;
pub(crate) mod batch;
pub(crate) mod cluster;
pub(crate) mod core;
pub(crate) mod events;
mod headings;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod storage;
mod table;
pub(crate) mod workloads;

pub use age::human_duration;
pub use table::{IncludeObject, TEMPLATE_GENERATION, TableOptions, partial, partial_list, row, table};

/// A column's heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub column_type: String,
    /// `name` marks the column that identifies the object.
    pub format: String,
    pub description: String,
    /// Columns above 0 are shown in wide output only.
    pub priority: u8,
}

/// What a kind shows of its objects.
#[derive(Clone, Debug)]
pub struct Columns {
    pub headings: Vec<Column>,
    /// The cells of one object, as many as there are headings.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// What a client may show of a row as a whole: that its pod has ended.
    pub conditions: fn(&Value) -> Value,
}

impl Columns {
    fn of(kind: &str, cells: fn(&Value, Timestamp) -> Vec<Value>) -> Self {
        Self { headings: headings::of(kind), cells, conditions: |_| Value::Null }
    }
}

impl Default for Columns {
    /// Name and time of creation.
    fn default() -> Self {
        Self {
            headings: headings::of(""),
            cells: |object, _| vec![name(object), object["metadata"]["creationTimestamp"].clone()],
            conditions: |_| Value::Null,
        }
    }
}

impl Column {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.column_type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// The cells of `object`.
pub fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    (kind.columns.cells)(object, now)
}

const NONE: &str = "<none>";

fn name(object: &Value) -> Value {
    json!(crate::kind::name_of(object))
}

/// How long ago the object was made.
fn age(object: &Value, now: Timestamp) -> Value {
    json!(age::since(&object["metadata"]["creationTimestamp"], now))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// `text`, or what stands for nothing.
fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { NONE } else { text })
}

/// `a=b,c=d`, or what stands for nothing.
fn labels(labels: &Value) -> Value {
    let pairs = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    or_none(&pairs.collect::<Vec<_>>().join(","))
}

fn count(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

/// The first few of a list, and how many more there are.
fn first_few(items: &[String], nothing: &str) -> String {
    const SHOWN_MAX: usize = 3;
    match items.len() {
        0 => nothing.to_owned(),
        n if n > SHOWN_MAX => format!("{} + {} more...", items[..SHOWN_MAX].join(","), n - SHOWN_MAX),
        _ => items.join(","),
    }
}

#[cfg(test)]
mod tests;
