//! Priority classes.

use serde_json::Value;

use super::{Cursor, Errors, FieldError, common};
use crate::kind::{Part, name_of};
use crate::kinds::SYSTEM_PRIORITIES;

const USER_MAX: i64 = 1_000_000_000;
const POLICIES: [&str; 2] = ["Never", "PreemptLowerPriority"];

pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let value = root.field("value").int();
    if name_of(object).starts_with("system-") {
        system(root, value, &mut errors);
    } else if value > USER_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_MAX}");
        errors.push(root.field("value").forbidden(&detail));
    }
    let policy = root.field("preemptionPolicy");
    if policy.is_set() {
        common::one_of(policy, &POLICIES, &mut errors);
    }
    errors
}

/// The names of the system's own classes are reserved for them.
fn system(root: Cursor<'_, '_>, value: i64, errors: &mut Errors) {
    let name = name_of(root.value());
    let why = match SYSTEM_PRIORITIES.iter().find(|(known, ..)| *known == name) {
        None => format!("{name} is not a known system priority class"),
        Some((_, wanted, _)) if *wanted != value => format!("value of {name} PriorityClass must be {wanted}"),
        Some(_) if root.field("globalDefault").bool() => format!("globalDefault of {name} PriorityClass must be false"),
        Some(_) => return,
    };
    let rule = "priority class names with 'system-' prefix are reserved for system use only";
    errors.push(root.field("metadata").field("name").forbidden(&format!("{rule}. error: {why}")));
}

pub(crate) fn class_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    if root.field("value").int() != old["value"].as_i64().unwrap_or_default() {
        errors.push(root.field("value").forbidden("may not be changed in an update."));
    }
    common::immutable(root.field("preemptionPolicy"), &old["preemptionPolicy"], &mut errors);
    errors
}
