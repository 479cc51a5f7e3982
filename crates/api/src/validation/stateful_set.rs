//! StatefulSets.

use serde_json::{Map, Value, json};

use super::apps::{amount, at_most, count_or_percent, counts};
use super::go_struct::{self, Field, Print};
use super::{Cursor, Errors, FieldError, common, pod, selectors};
use crate::kind::Part;
use crate::names;
use crate::selector::labels_match_object;

const FROZEN: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
/// What an update may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const ROLLING_UPDATE: &[Field] =
    &[("Partition", "partition", Print::Plain("0")), ("MaxUnavailable", "maxUnavailable", Print::Plain("null"))];
const STRATEGY: &[Field] =
    &[("Type", "type", Print::Plain("\"\"")), ("RollingUpdate", "rollingUpdate", Print::Reference(ROLLING_UPDATE))];

pub(crate) fn stateful_set(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let at = root.field("spec");
    spec(at, &mut errors);
    common::optional_text(at.field("serviceName"), names::dns_label, &mut errors);
    errors
}

pub(crate) fn stateful_set_update(new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
    if part == Part::Status {
        return status(new, old);
    }
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let at = root.field("spec");
    spec(at, &mut errors);
    if frozen(at.value()) != frozen(&old["spec"]) {
        errors.push(at.forbidden(FROZEN));
    }
    errors
}

fn frozen(spec: &Value) -> Map<String, Value> {
    let mut fields = spec.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !MUTABLE.contains(&name.as_str()));
    fields
}

fn spec(at: Cursor<'_, '_>, errors: &mut Errors) {
    management_policy(at.field("podManagementPolicy"), errors);
    strategy(at.field("updateStrategy"), errors);
    retention(at.field("persistentVolumeClaimRetentionPolicy"), errors);
    common::not_negative(at.field("replicas"), errors);
    common::not_negative(at.field("minReadySeconds"), errors);
    common::not_negative(at.field("ordinals").field("start"), errors);
    let selector = at.field("selector");
    if selector.is_set() {
        selectors::label_selector(selector, errors);
        if selector.field("matchLabels").len() + selector.field("matchExpressions").len() == 0 {
            errors.push(selectors::invalid(selector, "empty selector is invalid for statefulset"));
        }
    } else {
        errors.push(selector.required(""));
    }
    claims(at.field("volumeClaimTemplates"), errors);
    template(at, errors);
}

fn management_policy(at: Cursor<'_, '_>, errors: &mut Errors) {
    match at.str() {
        "OrderedReady" | "Parallel" => {}
        "" => errors.push(at.required("")),
        _ => errors.push(at.invalid("must be 'OrderedReady' or 'Parallel'")),
    }
}

fn strategy(at: Cursor<'_, '_>, errors: &mut Errors) {
    let rolling = at.field("rollingUpdate");
    let invalid = |at: Cursor<'_, '_>, fields: &[Field], detail: &str| {
        FieldError::invalid_in_order(at.path(), &go_struct::print(at.value(), fields), detail)
    };
    match at.field("type").str() {
        "" => errors.push(at.required("")),
        "OnDelete" if rolling.is_set() => {
            errors.push(invalid(rolling, ROLLING_UPDATE, "only allowed for updateStrategy 'RollingUpdate'"));
        }
        "OnDelete" => {}
        "RollingUpdate" => rolling_update(rolling, errors),
        _ => errors.push(invalid(at, STRATEGY, "must be 'RollingUpdate' or 'OnDelete'")),
    }
}

fn rolling_update(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::not_negative(at.field("partition"), errors);
    let unavailable = at.field("maxUnavailable");
    if !unavailable.is_set() {
        return;
    }
    count_or_percent(unavailable, errors);
    if amount(unavailable) == 0 {
        errors.push(unavailable.invalid("cannot be 0"));
    }
    if unavailable.value().is_string() && amount(unavailable) > 100 {
        errors.push(unavailable.invalid("must not be greater than 100%"));
    }
}

fn retention(at: Cursor<'_, '_>, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    for field in ["whenDeleted", "whenScaled"] {
        common::one_of_words(at.field(field), &["Retain", "Delete"], errors);
    }
}

fn claims(at: Cursor<'_, '_>, errors: &mut Errors) {
    for claim in at.items() {
        super::claims::spec(claim.field("spec"), errors);
    }
}

/// A pod of the set has a volume for each claim, and mounts may name it.
fn template(spec: Cursor<'_, '_>, errors: &mut Errors) {
    let (selector, at) = (spec.field("selector"), spec.field("template"));
    let metadata = at.field("metadata");
    let labels = metadata.field("labels");
    if crate::selector::from_label_selector(selector.value()).is_err() {
        errors.push(selectors::invalid(selector, ""));
        return;
    }
    let empty =
        selector.is_set() && selector.field("matchLabels").len() + selector.field("matchExpressions").len() == 0;
    if !empty && !labels_match_object(selector.value(), labels.value()) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    let with_claims = with_claims(at.value(), spec.get("volumeClaimTemplates"));
    pod::template(spec.with("template", &with_claims), errors);
    let pod = at.field("spec");
    if pod.field("restartPolicy").str() != "Always" {
        errors.push(pod.field("restartPolicy").not_supported(&["Always"]));
    }
    if pod.field("activeDeadlineSeconds").is_set() {
        let detail = "activeDeadlineSeconds in StatefulSet is not Supported";
        errors.push(pod.field("activeDeadlineSeconds").forbidden(detail));
    }
}

fn with_claims(template: &Value, claims: &Value) -> Value {
    let names: Vec<&Value> = claims.as_array().into_iter().flatten().map(|claim| &claim["metadata"]["name"]).collect();
    let mut template = template.clone();
    if names.is_empty() {
        return template;
    }
    let own = template["spec"]["volumes"].as_array().cloned().unwrap_or_default().into_iter();
    let own = own.filter(|volume| !names.contains(&&volume["name"]));
    let volume = |name: &&Value| json!({"name": name, "persistentVolumeClaim": {"claimName": "claim"}});
    template["spec"]["volumes"] = own.chain(names.iter().map(volume)).collect();
    template
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(new), Vec::new());
    let at = root.field("status");
    let bounded = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    counts(at, &["replicas"], &mut errors);
    counts(at, &bounded, &mut errors);
    counts(at, &["observedGeneration", "collisionCount"], &mut errors);
    at_most(at, &bounded, "replicas", "status.replicas", &mut errors);
    at_most(at, &["availableReplicas"], "readyReplicas", "status.readyReplicas", &mut errors);
    common::not_decremented(at.field("collisionCount"), &old["status"]["collisionCount"], &mut errors);
    errors
}
