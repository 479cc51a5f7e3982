//! Objects as Go writes them, for the messages that show one: structures in the order of their fields, maps sorted.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::schema::{Message, TypeRef};

/// The JSON of an object of a known type.
pub fn object(object: &Value, message: &Message) -> String {
    let mut out = String::new();
    write_object(&mut out, object, Type::Message(message), None);
    out
}

/// The JSON of an object that a patch was applied to. What the patch went through has lost its structure's order:
/// `touched` has a member for each of these, and something else than an object where the patch put a value.
pub fn patched(object: &Value, message: &Message, touched: &Value) -> String {
    let mut out = String::new();
    write_object(&mut out, object, Type::Message(message), Some(touched));
    out
}

/// A value of an unknown type as `%v` prints it: `map[a:1 b:[2]]`.
pub fn plain(value: &Value) -> String {
    crate::strategic::print(value)
}

#[derive(Clone, Copy)]
enum Type<'s> {
    Message(&'s Message),
    Other(&'s TypeRef),
    Unknown,
}

impl<'s> Type<'s> {
    fn of(ty: &'s TypeRef) -> Type<'s> {
        match ty {
            TypeRef::Message(link) | TypeRef::Either(_, link) => Type::Message(link),
            other => Type::Other(other),
        }
    }

    fn member(self, name: &str) -> Type<'s> {
        match self {
            Type::Message(message) => message.field(name).map_or(Type::Unknown, |field| Type::of(&field.ty)),
            Type::Other(TypeRef::Map(map)) => Type::of(&map.value),
            Type::Other(_) | Type::Unknown => Type::Unknown,
        }
    }

    fn item(self) -> Type<'s> {
        match self {
            Type::Other(TypeRef::List(list)) => Type::of(&list.element),
            Type::Message(_) | Type::Other(_) | Type::Unknown => Type::Unknown,
        }
    }
}

fn write_value(out: &mut String, value: &Value, ty: Type<'_>, touched: Option<&Value>) {
    match value {
        Value::Object(_) => write_object(out, value, ty, touched),
        Value::Array(items) => {
            for (idx, item) in items.iter().enumerate() {
                out.push(if idx == 0 { '[' } else { ',' });
                write_value(out, item, ty.item(), below(touched, &idx.to_string()));
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::String(text) => write_text(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => write!(out, "{value}").expect("a string takes everything"),
    }
}

fn write_object(out: &mut String, value: &Value, ty: Type<'_>, touched: Option<&Value>) {
    let Value::Object(object) = value else { return write_value(out, value, ty, touched) };
    out.push('{');
    for (idx, (name, value)) in members(object, ty, touched.is_some()).into_iter().enumerate() {
        if idx > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write_value(out, value, ty.member(name), below(touched, name));
    }
    out.push('}');
}

/// The members in the order of their structure; those that it does not know, sorted, after it.
fn members<'o>(object: &'o Map<String, Value>, ty: Type<'_>, sorted: bool) -> Vec<(&'o String, &'o Value)> {
    let mut members: Vec<_> = object.iter().collect();
    if let (Type::Message(message), false) = (ty, sorted) {
        let place = |name: &str| message.declared().position(|field| *field.name == *name).unwrap_or(usize::MAX);
        members.sort_by_key(|(name, _)| place(name));
    }
    members
}

fn below<'t>(touched: Option<&'t Value>, name: &str) -> Option<&'t Value> {
    match touched? {
        Value::Object(members) => members.get(name),
        put => Some(put),
    }
}

/// Go's JSON keeps HTML harmless.
fn write_text(out: &mut String, text: &str) {
    for c in Value::String(text.to_owned()).to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything");
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::message;

    fn config_map() -> (Value, &'static Message) {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "<", "a": "1"}, "immutable": true,
            "metadata": {"creationTimestamp": null, "labels": {"z": "1", "a": "2"}, "name": "c", "namespace": "n"},
        });
        (object, message("io.k8s.api.core.v1.ConfigMap").unwrap())
    }

    #[test]
    fn structures_keep_the_order_of_their_fields_and_maps_are_sorted() {
        let (value, message) = config_map();
        let expected = concat!(
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","namespace":"n","creationTimestamp":null,"#,
            r#""labels":{"a":"2","z":"1"}},"immutable":true,"data":{"a":"1","b":"\u003c"}}"#
        );
        assert_eq!(object(&value, message), expected);
    }

    #[test]
    fn what_a_patch_went_through_is_sorted() {
        let (value, message) = config_map();
        let expected = concat!(
            r#"{"apiVersion":"v1","data":{"a":"1","b":"\u003c"},"immutable":true,"kind":"ConfigMap","#,
            r#""metadata":{"name":"c","namespace":"n","creationTimestamp":null,"labels":{"a":"2","z":"1"}}}"#
        );
        assert_eq!(patched(&value, message, &json!({"data": {"a": 1}})), expected);
        let text = patched(&value, message, &json!({"metadata": {"labels": {"z": 1}}}));
        assert!(text.contains(r#""metadata":{"creationTimestamp":null,"labels""#), "{text}");
    }
}
