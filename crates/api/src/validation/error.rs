//! What is wrong with one field, printed as Go's `field.Error` prints it.

use std::fmt;

use serde_json::Value;

/// The kinds of errors that a field can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl ErrorType {
    /// The reason in a `Status`' causes.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub error_type: ErrorType,
    /// `spec.containers[0].name`.
    pub field: String,
    /// Everything after the field: `Invalid value: "A": must be lower case`.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl FieldError {
    fn new(error_type: ErrorType, field: impl Into<String>, value: Option<&Value>, detail: &str) -> Self {
        let mut message = error_type.words().to_owned();
        if let Some(value) = value {
            message.push_str(": ");
            message.push_str(&go_value(value));
        }
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(detail);
        }
        Self { error_type, field: field.into(), message }
    }

    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::new(ErrorType::NotFound, field, Some(value), "")
    }

    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(ErrorType::Required, field, None, detail)
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new(ErrorType::Duplicate, field, Some(value), "")
    }

    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(ErrorType::Invalid, field, Some(value), detail)
    }

    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::new(ErrorType::TypeInvalid, field, Some(value), detail)
    }

    /// `supported` in the order in which it is to be printed.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let quoted: Vec<_> = supported.iter().map(|s| go_quote(s)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(ErrorType::NotSupported, field, Some(value), &detail)
    }

    /// As [`Self::invalid`], for a structure whose fields Go prints in the order of their declaration.
    pub(crate) fn invalid_in_order(field: impl Into<String>, printed: &str, detail: &str) -> Self {
        let message = format!("{}: {printed}: {detail}", ErrorType::Invalid.words());
        Self { error_type: ErrorType::Invalid, field: field.into(), message }
    }

    /// As [`Self::not_supported`], for a structure whose fields Go prints in the order of their declaration.
    pub(crate) fn not_supported_in_order(
        field: impl Into<String>,
        value: &Value,
        order: &[&str],
        supported: &[&str],
    ) -> Self {
        let plain = Self::not_supported(field, &Value::from(0), supported);
        Self { message: plain.message.replacen(": 0", &format!(": {}", ordered_json(value, order)), 1), ..plain }
    }

    /// As [`Self::not_supported`], for a value in Go's print.
    pub(crate) fn not_supported_printed(field: impl Into<String>, printed: &str, supported: &[&str]) -> Self {
        let plain = Self::not_supported(field, &Value::from(0), supported);
        Self { message: plain.message.replacen(": 0", &format!(": {printed}"), 1), ..plain }
    }

    /// As [`Self::duplicate`], for a structure whose fields Go prints in the order of their declaration.
    pub(crate) fn duplicate_in_order(field: impl Into<String>, value: &Value, order: &[&str]) -> Self {
        let message = format!("{}: {}", ErrorType::Duplicate.words(), ordered_json(value, order));
        Self { error_type: ErrorType::Duplicate, field: field.into(), message }
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(ErrorType::Forbidden, field, None, detail)
    }

    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorType::TooLong, field, None, &format!("may not be more than {max} {unit}"))
    }

    pub fn too_many(field: impl Into<String>, n: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(ErrorType::TooMany, field, Some(&n.into()), &format!("must have at most {max} {unit}"))
    }

    /// A field that may not change once it is set.
    pub fn immutable(field: impl Into<String>, value: &Value) -> Self {
        Self::invalid(field, value, "field is immutable")
    }

    pub fn internal(field: impl Into<String>, detail: &str) -> Self {
        Self::new(ErrorType::Internal, field, None, detail)
    }
}

/// Several errors in one line: the only one as it is, or `[a, b]` without repetitions.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in errors.iter().map(ToString::to_string) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.as_slice() {
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn ordered_json(value: &Value, order: &[&str]) -> String {
    let field = |name: &&str| format!("{}:{}", Value::from(*name), go_json(value.get(*name).unwrap_or(&Value::Null)));
    format!("{{{}}}", order.iter().map(field).collect::<Vec<_>>().join(","))
}

/// The fields that are there, in the order of their declaration.
pub(crate) fn declared_json(value: &Value, order: &[&str]) -> String {
    let given: Vec<&str> = order.iter().copied().filter(|name| value.get(name).is_some()).collect();
    ordered_json(value, &given)
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => go_json(value),
    }
}

/// Go's `json.Marshal` keeps HTML out of its strings.
pub(crate) fn go_json(value: &Value) -> String {
    let text = value.to_string();
    if text.contains(['<', '>', '&']) {
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    } else {
        text
    }
}

/// Go's `%q`.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || c == '\u{ad}' || c == '\u{feff}' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
