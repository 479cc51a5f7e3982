//! DaemonSets.

use serde_json::Value;

use super::apps::{amount, count_or_percent, counts, same_selector};
use super::go_struct::{self, Field, Print};
use super::{Cursor, Errors, FieldError, common, pod, selectors};
use crate::kind::Part;
use crate::selector::labels_match_object;

const ROLLING_UPDATE: &[Field] =
    &[("MaxUnavailable", "maxUnavailable", Print::Plain("0")), ("MaxSurge", "maxSurge", Print::Plain("0"))];
const STRATEGY: &[Field] =
    &[("Type", "type", Print::Plain("\"\"")), ("RollingUpdate", "rollingUpdate", Print::Reference(ROLLING_UPDATE))];

pub(crate) fn daemon_set(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    spec(root.field("spec"), &mut errors);
    errors
}

pub(crate) fn daemon_set_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return status(new, old);
    }
    let mut errors = daemon_set(new);
    let root = Cursor::root(new);
    same_selector(root.field("spec"), old, &mut errors);
    errors
}

fn spec(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (selector, template) = (at.field("selector"), at.field("template"));
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    selectors::label_selector(selector, errors);
    let is_usable = crate::selector::from_label_selector(selector.value()).is_ok();
    if is_usable && !labels_match_object(selector.value(), labels.value()) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    if selector.is_set() && selector.field("matchLabels").len() + selector.field("matchExpressions").len() == 0 {
        errors.push(selectors::invalid(selector, "empty selector is invalid for daemonset"));
    }
    pod::template(template, errors);
    let pod = template.field("spec");
    if pod.field("restartPolicy").str() != "Always" {
        errors.push(pod.field("restartPolicy").not_supported(&["Always"]));
    }
    if pod.field("activeDeadlineSeconds").is_set() {
        let detail = "activeDeadlineSeconds in DaemonSet is not Supported";
        errors.push(pod.field("activeDeadlineSeconds").forbidden(detail));
    }
    common::not_negative(at.field("minReadySeconds"), errors);
    strategy(at.field("updateStrategy"), errors);
    common::not_negative(at.field("revisionHistoryLimit"), errors);
}

fn strategy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let rolling = at.field("rollingUpdate");
    match at.field("type").str() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => errors.push(rolling.required("")),
        "RollingUpdate" => rolling_update(rolling, errors),
        _ => {
            let printed = go_struct::print(at.value(), STRATEGY);
            errors.push(FieldError::not_supported_printed(at.path(), &printed, &["RollingUpdate", "OnDelete"]));
        }
    }
}

fn rolling_update(at: Cursor<'_, '_>, errors: &mut Errors) {
    let (unavailable, surge) = (at.field("maxUnavailable"), at.field("maxSurge"));
    count_or_percent(unavailable, errors);
    count_or_percent(surge, errors);
    for percent in [unavailable, surge] {
        if percent.value().is_string() && amount(percent) > 100 {
            errors.push(percent.invalid("must not be greater than 100%"));
        }
    }
    match (amount(unavailable) != 0, amount(surge) != 0) {
        (true, true) => errors.push(surge.invalid("may not be set when maxUnavailable is non-zero")),
        (false, false) => errors.push(unavailable.required("cannot be 0 when maxSurge is 0")),
        (true, false) | (false, true) => {}
    }
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let at = root.field("status");
    counts(
        at,
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        &mut errors,
    );
    common::not_decremented(at.field("collisionCount"), &old["status"]["collisionCount"], &mut errors);
    errors
}
