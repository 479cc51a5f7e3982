//! Whether a value that is no text any more fits a type, with the complaints of upstream's converter: the one that takes
//! what a strategic merge has made.

use serde_json::Value;

use super::Error;
use crate::schema::{Message, Scalar, TypeRef};

/// The first complaint, in the order of the structures' fields.
pub fn check(value: &Value, message: &Message) -> Result<(), Error> {
    of_message(value, message).map_err(Error::Type)
}

fn of_message(value: &Value, message: &Message) -> Result<(), String> {
    let object = match value {
        Value::Object(object) => object,
        Value::Null => return Ok(()),
        other => return Err(format!("cannot restore struct from: {}", go_kind(other))),
    };
    for field in message.declared() {
        if let Some(value) = object.get(&*field.name) {
            of_type(value, &field.ty)?;
        }
    }
    Ok(())
}

fn of_type(value: &Value, ty: &TypeRef) -> Result<(), String> {
    match (ty, value) {
        (_, Value::Null) | (TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced, _) => Ok(()),
        (TypeRef::Message(link), value) => of_message(value, link),
        (TypeRef::List(list), Value::Array(items)) => items.iter().try_for_each(|item| of_type(item, &list.element)),
        (TypeRef::List(_), other) => Err(format!("cannot restore slice from {}", go_kind(other))),
        (TypeRef::Map(map), Value::Object(members)) => {
            members.values().try_for_each(|value| of_type(value, &map.value))
        }
        (TypeRef::Map(_), other) => Err(format!("cannot restore map from {}", go_kind(other))),
        (TypeRef::Scalar(scalar), value) => of_scalar(value, *scalar),
    }
}

fn of_scalar(value: &Value, scalar: Scalar) -> Result<(), String> {
    let (found, wanted) = (go_type(value), scalar.go_type());
    match (scalar, value) {
        (Scalar::String, Value::String(_))
        | (Scalar::Bool, Value::Bool(_))
        | (Scalar::Int32 | Scalar::Int64 | Scalar::Double, Value::Number(_))
            if !is_fraction(value) || scalar == Scalar::Double =>
        {
            Ok(())
        }
        (Scalar::String, Value::Number(number)) if !number.is_f64() => {
            Err(format!("cannot convert {found} to {wanted}"))
        }
        (Scalar::Int32 | Scalar::Int64, Value::Number(_)) => Err(format!("cannot convert {found} to {wanted}")),
        (Scalar::String | Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Double, _) => {
            Err(format!("unrecognized type: {wanted}"))
        }
        (Scalar::Bytes, Value::String(text)) => {
            super::base64(text).map(drop).map_err(|error| format!("error decoding from json: {error}"))
        }
        (Scalar::Bytes, other) => Err(format!("cannot restore slice from {}", go_kind(other))),
        // These read their JSON by themselves.
        (
            Scalar::Quantity
            | Scalar::IntOrString
            | Scalar::Time
            | Scalar::MicroTime
            | Scalar::Duration
            | Scalar::RawExtension
            | Scalar::FieldsV1,
            _,
        ) => Ok(()),
    }
}

fn is_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() != 0.0)
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        other => go_type(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::message;

    fn complaint(ty: &str, value: Value) -> String {
        check(&value, message(&format!("io.k8s.api.core.v1.{ty}")).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn complaints_are_those_of_upstreams_converter() {
        let pod = |spec: Value| complaint("Pod", json!({"spec": spec}));
        assert_eq!(pod(json!({"containers": {"name": "a"}})), "cannot restore slice from map");
        assert_eq!(pod(json!({"nodeSelector": "x"})), "cannot restore map from string");
        assert_eq!(pod(json!([])), "cannot restore struct from: slice");
        assert_eq!(pod(json!({"hostNetwork": "yes"})), "unrecognized type: bool");
        assert_eq!(pod(json!({"nodeName": 1})), "cannot convert int64 to string");
        assert_eq!(pod(json!({"priority": 1.5})), "cannot convert float64 to int32");
        let secret = complaint("Secret", json!({"data": {"a": "!!!"}}));
        assert_eq!(secret, "error decoding from json: illegal base64 data at input byte 0");
    }

    #[test]
    fn what_converts_is_let_through() {
        let pod = json!({"spec": {"priority": 2.0, "containers": [null, {"resources": {"limits": {"cpu": 1}}}]}});
        check(&pod, message("io.k8s.api.core.v1.Pod").unwrap()).unwrap();
    }
}
