//! Whether an applied configuration fits the schema, with the complaints of upstream's typed values.

use std::collections::BTreeSet;

use serde_json::Value;

use super::typed::element;
use crate::{
    fieldset::Element,
    schema::{List, ListKind, Message, Scalar, TypeRef},
};

pub(super) fn object(object: &Value, message: &Message) -> Result<(), String> {
    let mut check = Check { path: Vec::new(), errors: Vec::new() };
    check.message(object, message);
    match &check.errors[..] {
        [] => Ok(()),
        [only] => Err(only.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Check {
    path: Vec<Element>,
    errors: Vec<String>,
}

impl Check {
    fn fail(&mut self, text: String) {
        let path: String = self.path.iter().map(Element::to_string).collect();
        self.errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
    }

    fn within(&mut self, element: Element, inner: impl FnOnce(&mut Check)) {
        self.path.push(element);
        inner(self);
        self.path.pop();
    }

    fn value(&mut self, value: &Value, ty: &TypeRef) {
        match ty {
            _ if value.is_null() => {}
            TypeRef::Message(link) => self.message(value, link),
            TypeRef::Map(map) => match value {
                Value::Object(object) => {
                    for (name, value) in object {
                        self.within(Element::field(name), |check| check.value(value, &map.value));
                    }
                }
                other => self.fail(format!("expected map, got {}", pointer(other))),
            },
            TypeRef::List(list) => match value {
                Value::Array(items) => self.list(items, list),
                other => self.fail(format!("expected list, got {}", pointer(other))),
            },
            TypeRef::Scalar(scalar) => self.scalar(value, *scalar),
            TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => {}
        }
    }

    fn message(&mut self, value: &Value, message: &Message) {
        let Value::Object(object) = value else {
            return self.fail(format!("expected map, got {}", pointer(value)));
        };
        for (name, value) in object {
            match (message.field(name), &message.additional) {
                (Some(field), _) => self.within(Element::field(name), |check| check.value(value, &field.ty)),
                (None, Some(ty)) => self.within(Element::field(name), |check| check.value(value, ty)),
                (None, None) if message.preserve_unknown => {}
                (None, None) => {
                    return self
                        .within(Element::field(name), |check| check.fail("field not declared in schema".to_owned()));
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], list: &List) {
        let mut seen = BTreeSet::new();
        for (idx, item) in items.iter().enumerate() {
            let element = match list.kind {
                ListKind::Atomic => Element::Index(idx as i64),
                ListKind::Set | ListKind::Map(_) => match element(list, item) {
                    Ok(element) => element,
                    Err(error) => return self.fail(format!("element {idx}: {error}")),
                },
            };
            if !seen.insert(element.clone()) {
                self.fail(format!("duplicate entries for key {element}"));
            }
            self.within(element, |check| check.value(item, &list.element));
        }
    }

    fn scalar(&mut self, value: &Value, scalar: Scalar) {
        match scalar {
            Scalar::String | Scalar::Bytes if !value.is_string() => {
                self.fail(format!("expected string, got {}", go_syntax(value)))
            }
            Scalar::Bool if !value.is_boolean() => self.fail(format!("expected boolean, got {}", pointer(value))),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double if !value.is_number() => {
                self.fail(format!("expected numeric (int or float), got {}", go_type(value)));
            }
            Scalar::Quantity | Scalar::IntOrString | Scalar::Time | Scalar::MicroTime | Scalar::Duration
                if value.is_object() || value.is_array() =>
            {
                self.fail(format!("expected any scalar, got {}", pointer(value)));
            }
            _ => {}
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as `%v` prints a pointer to its wrapper: `&{[a]}`.
fn pointer(value: &Value) -> String {
    format!("&{{{}}}", crate::strategic::print(value))
}

/// A value as `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    fn inner(value: &Value) -> String {
        match value {
            Value::Null => "interface {}(nil)".to_owned(),
            Value::Array(items) => {
                format!("[]interface {{}}{{{}}}", items.iter().map(inner).collect::<Vec<_>>().join(", "))
            }
            Value::Object(object) => {
                let members: Vec<String> =
                    object.iter().map(|(name, value)| format!("{name:?}:{}", inner(value))).collect();
                format!("map[string]interface {{}}{{{}}}", members.join(", "))
            }
            scalar => scalar.to_string(),
        }
    }
    format!("&value.valueUnstructured{{Value:{}}}", inner(value))
}
