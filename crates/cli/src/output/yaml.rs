//! YAML as kubectl writes it: every string that another reader could take for something else is quoted.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Characters that end a line, or say how bytes are ordered, to some readers.
const BREAKS_AND_MARKS: [char; 4] = ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'];

/// The document of `value`, with its final newline.
pub(super) fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, true),
        Value::Array(values) if !values.is_empty() => sequence(&mut out, values, 0, true),
        scalar => {
            out.push_str(&inline(scalar, 0));
            out.push('\n');
        }
    }
    out
}

/// Writes fields at `indent`; the first one may continue a line that has begun.
fn mapping(out: &mut String, map: &Map<String, Value>, indent: usize, mut in_line: bool) {
    for (key, value) in map {
        if !in_line {
            push_indent(out, indent);
        }
        in_line = false;
        let key = if key.contains('\n') { double_quoted(key) } else { string(key, indent) };
        write!(out, "{key}:").expect("a string takes all");
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, indent + 2, false);
            }
            Value::Array(values) if !values.is_empty() => {
                out.push('\n');
                sequence(out, values, indent, false);
            }
            scalar => writeln!(out, " {}", inline(scalar, indent + 2)).expect("a string takes all"),
        }
    }
}

fn sequence(out: &mut String, values: &[Value], indent: usize, mut in_line: bool) {
    for value in values {
        if !in_line {
            push_indent(out, indent);
        }
        in_line = false;
        out.push_str("- ");
        match value {
            Value::Object(inner) if !inner.is_empty() => mapping(out, inner, indent + 2, true),
            Value::Array(inner) if !inner.is_empty() => sequence(out, inner, indent + 2, true),
            scalar => writeln!(out, "{}", inline(scalar, indent + 2)).expect("a string takes all"),
        }
    }
}

fn push_indent(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn inline(value: &Value, indent: usize) -> String {
    match value {
        Value::String(text) => string(text, indent),
        other => other.to_string(),
    }
}

fn string(text: &str, indent: usize) -> String {
    let printable = text.chars().all(|char| char == '\n' || !(char.is_control() || BREAKS_AND_MARKS.contains(&char)));
    let space_before_break = text.contains(" \n") || text.ends_with(' ');
    if text.contains('\n') {
        return if printable && !space_before_break { literal(text, indent) } else { double_quoted(text) };
    }
    if !printable || is_ambiguous(text) {
        return double_quoted(text);
    }
    if has_indicators(text) { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() }
}

/// A block whose lines stand as they are.
fn literal(text: &str, indent: usize) -> String {
    let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
    let (body, chomp) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.is_empty() || body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    let mut out = format!("|{hint}{chomp}");
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            push_indent(&mut out, indent);
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            char if BREAKS_AND_MARKS.contains(&char) => {
                write!(out, "\\u{:04X}", char as u32).expect("a string takes all");
            }
            char if char.is_control() && (char as u32) < 0x100 => {
                write!(out, "\\x{:02X}", char as u32).expect("a string takes all");
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Characters that would begin or end something else than a plain string.
fn has_indicators(text: &str) -> bool {
    let first = text.chars().next().unwrap_or(' ');
    let lone = |prefix: char| text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    "#,[]{}&*!|>'\"%@`".contains(first)
        || text.starts_with(' ')
        || text.ends_with([' ', ':'])
        || text.starts_with("---")
        || text.starts_with("...")
        || ['-', '?', ':'].into_iter().any(lone)
        || text.contains(": ")
        || text.contains(" #")
}

/// Strings that a reader would take for a null, a truth value, a number or a time.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 12] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<"];
    let in_one_case = |word: &str| {
        let mut capitalised = word.to_owned();
        capitalised[..word.len().min(1)].make_ascii_uppercase();
        text == word || text == capitalised || text == word.to_uppercase()
    };
    WORDS.into_iter().any(in_one_case) || is_number(text) || is_time(text)
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(&*lower, ".inf" | ".nan") {
        return true;
    }
    let digits = lower.replace('_', "");
    let with_radix = |prefix: &str, radix: u32| {
        let rest = digits.strip_prefix(prefix);
        rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|char| char.is_digit(radix)))
    };
    let starts_as_number = digits.starts_with(|char: char| char.is_ascii_digit() || char == '.');
    let base60 = digits.contains(':') && digits.split(':').all(|part| part.parse::<f64>().is_ok());
    (starts_as_number && (digits.parse::<f64>().is_ok() || base60))
        || with_radix("0x", 16)
        || with_radix("0o", 8)
        || with_radix("0b", 2)
}

/// A date, alone or with a time after it.
fn is_time(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(idx) => (&text[..idx], Some(&text[idx + 1..])),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_date = matches!(parts[..], [year, month, day] if year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2));
    is_date && time.is_none_or(|time| time.starts_with(|char: char| char.is_ascii_digit()) && time.contains(':'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_not_indented_and_empty_ones_stand_in_line() {
        let value = json!({
            "args": ["a", ["b", "c"], {"d": 1, "e": [2]}], "empty": {}, "none": null, "nothing": [], "on": true,
        });
        let expected = "\
args:
- a
- - b
  - c
- d: 1
  e:
  - 2
empty: {}
none: null
nothing: []
\"on\": true
";
        assert_eq!(to_string(&value), expected);
    }

    #[test]
    fn strings_that_could_be_something_else_are_quoted() {
        for ambiguous in [
            "",
            "~",
            "null",
            "Null",
            "NULL",
            "true",
            "Yes",
            "off",
            "y",
            "10",
            "-1",
            "+1",
            "1.5",
            ".5",
            "1e3",
            "0x1F",
            "0b1",
            "1_000",
            ".inf",
            "-.Inf",
            "12:30:45",
            "2026-11-21",
            "2026-11-21T12:00:09Z",
            "<<",
        ] {
            assert_eq!(string(ambiguous, 0), format!("\"{ambiguous}\""));
        }
        for plain in
            ["web", "v1", "1.2.3", "10.0.0.1", "nULL", "yess", "a:b", "a#b", "100m", "-x", "2026-11", "é", "inf", "e"]
        {
            assert_eq!(string(plain, 0), plain);
        }
        for single in ["*", "a: b", "a #b", "a:", "- a", "-", "[a", "{}", " a", "'", "@a", "%", "---"] {
            assert_eq!(string(single, 0), format!("'{}'", single.replace('\'', "''")));
        }
        assert_eq!(string("a\tb\u{1}\"", 0), r#""a\tb\x01\"""#);
    }

    #[test]
    fn lines_stand_in_a_block() {
        assert_eq!(to_string(&json!({"a": "x\ny\n"})), "a: |\n  x\n  y\n");
        assert_eq!(to_string(&json!({"a": "x\n\ny"})), "a: |-\n  x\n\n  y\n");
        assert_eq!(to_string(&json!({"a": " x\ny\n\n"})), "a: |2+\n   x\n  y\n\n");
        assert_eq!(to_string(&json!(["x \ny"])), "- \"x \\ny\"\n");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({"a": ["1", 1, true, "true", null, "x\n y\n", " z ", "\u{7}\u{2028}", {"k: v": "'"}], "b": {"c": "\n"}});
        assert_eq!(serde_yaml::from_str::<Value>(&to_string(&value)).unwrap(), value);
    }
}
