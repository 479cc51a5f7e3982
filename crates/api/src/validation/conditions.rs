//! Conditions of the form that newer kinds share.

use std::sync::LazyLock;

use regex::Regex;

use super::{Cursor, Errors, common};
use crate::names;

const REASON_MAX: usize = 1024;
const MESSAGE_MAX: usize = 32 * 1024;
const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
static REASON_FORM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("^{REASON}$")).expect("the expression is a constant"));

pub(super) fn conditions(at: Cursor<'_, '_>, errors: &mut Errors) {
    let mut types: Vec<&str> = Vec::new();
    for condition in at.items() {
        let condition_type = condition.field("type").str();
        if types.contains(&condition_type) {
            errors.push(condition.field("type").duplicate());
        } else {
            types.push(condition_type);
        }
        self::condition(condition, errors);
    }
}

fn condition(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::text(at.field("type"), names::qualified_name, errors);
    common::one_of_words(at.field("status"), &["False", "True", "Unknown"], errors);
    common::not_negative(at.field("observedGeneration"), errors);
    if !at.field("lastTransitionTime").is_set() {
        errors.push(at.field("lastTransitionTime").required("must be set"));
    }
    reason(at.field("reason"), errors);
    let message = at.field("message");
    if message.str().len() > MESSAGE_MAX {
        errors.push(super::FieldError::too_long(message.path(), MESSAGE_MAX));
    }
}

fn reason(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required("must be set"));
        return;
    }
    if !REASON_FORM.is_match(at.str()) {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
        errors.push(at.invalid(&names::regex_message(
            why,
            REASON,
            &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
        )));
    }
    if at.str().len() > REASON_MAX {
        errors.push(super::FieldError::too_long(at.path(), REASON_MAX));
    }
}
