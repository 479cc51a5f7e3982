//! The metadata that every kind has.

use serde_json::Value;

use super::FieldError;
use crate::kind::Kind;

pub fn validate(_kind: &Kind, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

pub fn validate_update(_kind: &Kind, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
