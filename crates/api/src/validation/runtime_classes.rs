//! Runtime classes.

use serde_json::{Value, json};

use super::{Cursor, Errors, FieldError, common, resource_names, scheduling};
use crate::kind::Part;
use crate::names;

pub(crate) fn class(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    common::required_text(root.field("handler"), names::dns_label, &mut errors);
    let overhead = root.field("overhead");
    let limits = overhead.with("limits", overhead.get("podFixed"));
    resource_names::amounts(
        limits,
        |amount, name, errors| {
            resource_names::container(amount, name, errors);
            resource_names::amount(amount, name, errors);
        },
        &mut errors,
    );
    let wishes = root.field("scheduling");
    common::labels(wishes.field("nodeSelector"), &mut errors);
    tolerations(wishes.field("tolerations"), &mut errors);
    errors
}

fn tolerations(at: Cursor<'_, '_>, errors: &mut Errors) {
    const ORDER: [&str; 5] = ["Key", "Operator", "Value", "Effect", "TolerationSeconds"];
    scheduling::tolerations(at, errors);
    let mut seen: Vec<&Value> = Vec::new();
    for toleration in at.items() {
        if seen.contains(&toleration.value()) {
            let text = |field: &str| toleration.get(field).as_str().unwrap_or_default();
            let printed = json!({"Key": text("key"), "Operator": text("operator"), "Value": text("value"),
                "Effect": text("effect"), "TolerationSeconds": toleration.get("tolerationSeconds")});
            errors.push(FieldError::duplicate_in_order(toleration.path(), &printed, &ORDER));
        }
        seen.push(toleration.value());
    }
}

pub(crate) fn class_update(new: &Value, old: &Value, _: Part) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    common::immutable(root.field("handler"), &old["handler"], &mut errors);
    errors
}
