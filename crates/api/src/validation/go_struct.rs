//! How Go prints a structure of its own in an error: every field in the order of its declaration, absent ones too.

use serde_json::Value;

use super::error::go_json;

/// How a field's value is printed.
pub(super) enum Print {
    /// As JSON has it; this when it is absent.
    Plain(&'static str),
    /// A reference to a structure: `null` when it is absent.
    Reference(&'static [Field]),
    /// A structure: printed even when it is absent.
    Embedded(&'static [Field]),
    List(&'static [Field]),
}

/// A field's name in Go, in JSON, and how it is printed.
pub(super) type Field = (&'static str, &'static str, Print);

pub(super) fn print(value: &Value, fields: &[Field]) -> String {
    let printed = fields.iter().map(|(go, json, how)| format!("\"{go}\":{}", field(&value[*json], how)));
    format!("{{{}}}", printed.collect::<Vec<_>>().join(","))
}

fn field(value: &Value, how: &Print) -> String {
    match how {
        Print::Plain(zero) if value.is_null() => (*zero).to_owned(),
        Print::Plain(_) => go_json(&value.clone()),
        Print::Reference(_) | Print::List(_) if value.is_null() => "null".to_owned(),
        Print::Reference(fields) | Print::Embedded(fields) => print(value, fields),
        Print::List(fields) => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice).iter();
            format!("[{}]", items.map(|item| print(item, fields)).collect::<Vec<_>>().join(","))
        }
    }
}
