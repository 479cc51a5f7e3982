//! Tables as kubectl lays them out. It decides what to show of a server's `Table`, and aligns it.

use std::io::{self, Write};

use serde_json::Value;

use crate::discovery::{array, text};

/// Spaces between columns, and the least that a column takes with them.
const PADDING: usize = 3;
const COLUMN_MIN: usize = 6;

/// Rows of text under headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) headers: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What to show of a server's table.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) wide: bool,
    pub(crate) with_namespace: bool,
    pub(crate) with_labels: bool,
    /// Put before each name, with a slash.
    pub(crate) prefix: Option<String>,
}

impl Table {
    /// What `view` shows of a `Table` (or of plain objects, from who makes no tables).
    pub(crate) fn from_server(answer: &Value, view: &View) -> Self {
        if answer["kind"] != "Table" {
            return Self::from_objects(answer, view);
        }
        let columns: Vec<&Value> = array(&answer["columnDefinitions"]).collect();
        let shown: Vec<usize> = (0..columns.len())
            .filter(|idx| view.wide || columns[*idx]["priority"].as_i64().unwrap_or(0) == 0)
            .collect();
        let headers = shown.iter().map(|idx| text(&columns[*idx]["name"]).to_uppercase()).collect();
        let rows = array(&answer["rows"]).map(|row| {
            let cells = shown.iter().map(|idx| cell(&row["cells"][*idx])).collect();
            view.decorate(cells, &row["object"]["metadata"])
        });
        Self { headers: view.decorate_headers(headers), rows: rows.collect() }
    }

    fn from_objects(answer: &Value, view: &View) -> Self {
        let objects: Vec<&Value> =
            if answer["items"].is_array() { array(&answer["items"]).collect() } else { vec![answer] };
        let rows = objects.into_iter().map(|object| {
            let metadata = &object["metadata"];
            let cells = vec![text(&metadata["name"]).to_owned(), text(&metadata["creationTimestamp"]).to_owned()];
            view.decorate(cells, metadata)
        });
        Self { headers: view.decorate_headers(vec!["NAME".into(), "CREATED AT".into()]), rows: rows.collect() }
    }

    /// How wide each column must be, and at least as wide as `before`.
    pub(crate) fn widths(&self, before: &[usize], with_headers: bool) -> Vec<usize> {
        let mut widths = before.to_vec();
        let headers = with_headers.then_some(&self.headers);
        for line in headers.into_iter().chain(&self.rows) {
            widths.resize(widths.len().max(line.len()), COLUMN_MIN);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count() + PADDING);
            }
        }
        widths
    }

    pub(crate) fn print(&self, out: &mut dyn Write, widths: &[usize], with_headers: bool) -> io::Result<()> {
        let headers = with_headers.then_some(&self.headers);
        for line in headers.into_iter().chain(&self.rows) {
            for (idx, cell) in line.iter().enumerate() {
                if idx + 1 == line.len() {
                    writeln!(out, "{cell}")?;
                } else {
                    write!(out, "{cell:width$}", width = widths[idx])?;
                }
            }
        }
        Ok(())
    }
}

impl View {
    fn decorate_headers(&self, mut headers: Vec<String>) -> Vec<String> {
        if self.with_namespace {
            headers.insert(0, "NAMESPACE".into());
        }
        if self.with_labels {
            headers.push("LABELS".into());
        }
        headers
    }

    fn decorate(&self, mut cells: Vec<String>, metadata: &Value) -> Vec<String> {
        if let (Some(prefix), Some(name)) = (&self.prefix, cells.first_mut()) {
            *name = format!("{prefix}/{name}");
        }
        if self.with_namespace {
            cells.insert(0, text(&metadata["namespace"]).to_owned());
        }
        if self.with_labels {
            cells.push(labels(&metadata["labels"]));
        }
        cells
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', "\\n"),
        Value::Null => "<none>".into(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// `a=1,b=2`, or `<none>`.
pub(crate) fn labels(labels: &Value) -> String {
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(view: &View) -> String {
        let row = |name: &str, n: u32, labels: Value| json!({"cells": [name, n, "10.244.0.9"], "object": {"metadata": {"namespace": "shop", "labels": labels}}});
        let column = |name: &str, priority: u32| json!({"name": name, "priority": priority});
        let table = Table::from_server(
            &json!({
                "kind": "Table",
                "columnDefinitions": [column("Name", 0), column("Up", 0), column("IP", 1)],
                "rows": [row("web-7", 3, json!({"app": "web", "tier": "a"})), row("db", 10, json!({}))],
            }),
            view,
        );
        let mut out = Vec::new();
        table.print(&mut out, &table.widths(&[], true), true).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_as_kubectl_aligns_them() {
        assert_eq!(printed(&View::default()), "NAME    UP\nweb-7   3\ndb      10\n");
    }

    #[test]
    fn a_view_shows_more() {
        let view = View { wide: true, with_namespace: true, with_labels: true, prefix: Some("pod".into()) };
        let expected = "\
NAMESPACE   NAME        UP    IP           LABELS
shop        pod/web-7   3     10.244.0.9   app=web,tier=a
shop        pod/db      10    10.244.0.9   <none>
";
        assert_eq!(printed(&view), expected);
    }
}
