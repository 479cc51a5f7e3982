//! Limit ranges and priority classes.

use serde_json::Value;

use super::{Object, fill, items, text};

/// A container's default limit is the maximum, and its default request is the limit, or the minimum.
pub(crate) fn limit_range(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|object| super::make(object, "spec")) else { return };
    for limit in items(spec, "limits").filter(|limit| text(limit, "type") == "Container") {
        inherit(limit, "max", "default");
        inherit(limit, "default", "defaultRequest");
        inherit(limit, "min", "defaultRequest");
    }
}

fn inherit(limit: &mut Object, from: &str, to: &str) {
    let Some(amounts) = limit.get(from).and_then(Value::as_object).filter(|amounts| !amounts.is_empty()).cloned()
    else {
        return;
    };
    let Some(target) = super::make(limit, to) else { return };
    for (name, amount) in amounts {
        fill(target, &name, amount);
    }
}

pub(crate) fn priority_class(object: &mut Value) {
    object.as_object_mut().into_iter().for_each(|class| fill(class, "preemptionPolicy", "PreemptLowerPriority"));
}
