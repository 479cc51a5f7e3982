//! YAML documents to JSON values, with the rules and complaints of the library that Kubernetes reads YAML with.

mod value;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::decode::Error;

/// A YAML document as JSON would write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub value: Value,
    /// Keys that were given twice, in the order of the document: `line 4: key "a" already set in map`.
    pub duplicates: Vec<String>,
}

impl Document {
    /// All duplicates as the one error that strict decoding makes of them.
    pub fn duplicates_error(&self) -> Option<String> {
        if self.duplicates.is_empty() {
            return None;
        }
        Some(format!("yaml: unmarshal errors:\n  {}", self.duplicates.join("\n  ")))
    }
}

/// Reads the first document. What starts like a JSON object is tried as JSON first.
pub fn parse(bytes: &[u8]) -> Result<Document, Error> {
    if bytes.trim_ascii_start().first() == Some(&b'{')
        && let Ok(decoded) = crate::decode::untyped(bytes)
        && decoded.strict.is_empty()
    {
        return Ok(Document { value: decoded.value, duplicates: Vec::new() });
    }
    let (value, duplicates) = value::read(bytes).map_err(|error| Error::Syntax(go_error(&error.to_string())))?;
    Ok(Document { value, duplicates: unique(duplicates.into_iter()) })
}

fn unique(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines.filter(|line| seen.insert(line.clone())).collect()
}

/// libyaml's complaint in Go's words: `yaml: line 1: did not find expected ',' or ']'`.
fn go_error(text: &str) -> String {
    let (problem, context) = match text.split_once(", while ") {
        Some((problem, context)) => (problem, Some(context)),
        None => (text, None),
    };
    let scanner = context.is_some_and(|context| context.starts_with("scanning"));
    let (message, line) = match problem.rsplit_once(" at line ") {
        Some((message, place)) => (message, line_number(place)),
        None => (problem, None),
    };
    let context_line =
        context.and_then(|context| context.rsplit_once(" at line ")).and_then(|(_, place)| line_number(place));
    // Lines count from zero there, and zero is not shown.
    let line = context_line.filter(|line| *line > 1).or(line).map(|line| line - 1 + usize::from(scanner));
    match line {
        Some(line) if line > 0 => format!("yaml: line {line}: {message}"),
        Some(_) | None => format!("yaml: {message}"),
    }
}

fn line_number(place: &str) -> Option<usize> {
    place.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
