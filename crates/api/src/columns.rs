//! The columns that `kubectl get` shows, and the `Table` and `PartialObjectMetadata` forms of objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::Kind;

mod age;
mod table;

pub use age::human_duration;
pub use table::{IncludeObject, TableOptions, partial, partial_list, row, table};

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
}

impl Default for Columns {
    /// Name and age.
    fn default() -> Self {
        let created_at = Column { name: "Created At".to_owned(), column_type: "date".to_owned(), ..Column::name() };
        Self {
            headings: vec![Column::name(), Column { format: String::new(), ..created_at }],
            cells: |object, _| vec![json!(crate::kind::name_of(object)), object["metadata"]["creationTimestamp"].clone()],
        }
    }
}

impl Column {
    fn name() -> Self {
        Self {
            name: "Name".to_owned(),
            column_type: "string".to_owned(),
            format: "name".to_owned(),
            description: String::new(),
            priority: 0,
        }
    }

    fn to_json(&self) -> Value {
        json!({"name": self.name, "type": self.column_type, "format": self.format, "description": self.description, "priority": self.priority})
    }
}

/// The cells of `object`.
pub fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    (kind.columns.cells)(object, now)
}
