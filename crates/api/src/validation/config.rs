//! ConfigMaps, Secrets and ServiceAccounts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Cursor, Errors, FieldError, common};
use crate::kind::Part;
use crate::names;

/// Keys excluded, values as they are stored.
const SIZE_MAX: usize = 1024 * 1024;
const REDACTED: &str = "<secret contents redacted>";
const FIXED: &str = "field is immutable when `immutable` is set";

pub(crate) fn config_map(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let (data, binary) = (root.field("data"), root.field("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        self::key(value, key, &mut errors);
        if !binary.get(key).is_null() {
            errors.push(value.invalid_value(key, "duplicate of key present in binaryData"));
        }
        size += value.str().len();
    }
    for (key, value) in binary.entries() {
        self::key(value, key, &mut errors);
        size += decoded_len(value.str());
    }
    if size > SIZE_MAX {
        errors.push(FieldError::too_long("", SIZE_MAX));
    }
    errors
}

fn key(at: Cursor<'_, '_>, key: &str, errors: &mut Errors) {
    errors.extend(names::config_map_key(key).iter().map(|problem| at.invalid_value(key, problem)));
}

fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

pub(crate) fn config_map_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let mut errors = Vec::new();
    immutable(new, old, &["data", "binaryData"], &mut errors);
    errors.extend(config_map(new));
    errors
}

fn immutable(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if old["immutable"].as_bool() != Some(true) {
        return;
    }
    let root = Cursor::root(new);
    if !root.field("immutable").bool() {
        errors.push(root.field("immutable").forbidden(FIXED));
    }
    for field in fields {
        if root.get(field) != &old[*field] {
            errors.push(root.field(field).forbidden(FIXED));
        }
    }
}

pub(crate) fn secret(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let data = root.field("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        self::key(value, key, &mut errors);
        size += decoded_len(value.str());
    }
    if size > SIZE_MAX {
        errors.push(FieldError::too_long("data", SIZE_MAX));
    }
    required_keys(root, &mut errors);
    errors
}

fn required_keys(root: Cursor<'_, '_>, errors: &mut Errors) {
    let data = root.field("data");
    match root.field("type").str() {
        "kubernetes.io/service-account-token" => {
            let metadata = root.field("metadata");
            let annotations = metadata.field("annotations");
            let name = annotations.key("kubernetes.io/service-account.name");
            common::required(name, errors);
        }
        "kubernetes.io/dockercfg" => json_file(data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => json_file(data.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth" => {
            let (user, password) = (data.key("username"), data.key("password"));
            if !user.is_set() && !password.is_set() {
                errors.push(user.required(""));
                errors.push(password.required(""));
            }
        }
        "kubernetes.io/ssh-auth" => common::required(data.key("ssh-privatekey"), errors),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !data.key(key).is_set() {
                    errors.push(data.key(key).required(""));
                }
            }
        }
        _ => {}
    }
}

/// A file whose contents must be JSON. What it holds is not shown.
fn json_file(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.is_set() {
        errors.push(at.required(""));
        return;
    }
    let bytes = STANDARD.decode(at.str()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Value>(&bytes) {
        errors.push(at.invalid_value(REDACTED, &go_syntax_error(&bytes, &error)));
    }
}

/// How Go's decoder says it.
fn go_syntax_error(bytes: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(bytes);
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let trimmed = text.trim_start();
    for literal in ["null", "true", "false"] {
        let matching = trimmed.chars().zip(literal.chars()).take_while(|(a, b)| a == b).count();
        if matching > 0
            && let (Some(found), Some(expected)) = (trimmed.chars().nth(matching), literal.chars().nth(matching))
        {
            return format!("invalid character '{found}' in literal {literal} (expecting '{expected}')");
        }
    }
    let found = trimmed.chars().next().unwrap_or_default();
    format!("invalid character '{found}' looking for beginning of value")
}

pub(crate) fn secret_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let mut errors = Vec::new();
    common::immutable(Cursor::root(new).field("type"), &old["type"], &mut errors);
    immutable(new, old, &["data"], &mut errors);
    errors.extend(secret(new));
    errors
}
