//! Options of a deletion, from a body or a query, checked as upstream checks them.

use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use serde_json::{Value, json};

use crate::options::{dry_run_errors, invalid_options};
use crate::query::Query;
use crate::registry::{DeleteOptions, Propagation};

/// The options that a query holds.
pub(super) fn of_query(query: &Query) -> Result<DeleteOptions, Status> {
    let grace_seconds = query.number("gracePeriodSeconds")?;
    let orphan = query.optional_flag("orphanDependents");
    build(grace_seconds, query.get("propagationPolicy"), orphan, &query.all("dryRun"))
}

/// The options that a body holds.
pub(super) fn of_value(value: &Value) -> Result<DeleteOptions, Status> {
    let list = value["dryRun"].as_array().into_iter().flatten();
    let dry_run: Vec<String> = list.filter_map(|mode| mode.as_str().map(str::to_owned)).collect();
    let policy = value["propagationPolicy"].as_str();
    let options = build(value["gracePeriodSeconds"].as_i64(), policy, value["orphanDependents"].as_bool(), &dry_run)?;
    let precondition = |field: &str| value["preconditions"][field].as_str().map(str::to_owned);
    Ok(DeleteOptions { uid: precondition("uid"), resource_version: precondition("resourceVersion"), ..options })
}

fn build(
    grace_seconds: Option<i64>,
    policy: Option<&str>,
    orphan: Option<bool>,
    dry_run: &[String],
) -> Result<DeleteOptions, Status> {
    let mut errors = Vec::new();
    if let (Some(policy), Some(_)) = (policy, orphan) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid("propagationPolicy", &json!(policy), why));
    }
    let propagation = match (policy, orphan) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) => Some(Propagation::Background),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, Some(false)) => Some(Propagation::Background),
        (None, None) => None,
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported("propagationPolicy", &json!(other), &supported));
            None
        }
    };
    errors.extend(dry_run_errors(dry_run));
    invalid_options("DeleteOptions", &errors)?;
    Ok(DeleteOptions { grace_seconds, propagation, dry_run: !dry_run.is_empty(), ..DeleteOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_how_to_delete() {
        let options = of_value(&json!({
            "propagationPolicy": "Foreground", "gracePeriodSeconds": 5, "dryRun": ["All"], "preconditions": {"uid": "u"},
        }))
        .unwrap();
        assert_eq!(options.propagation, Some(Propagation::Foreground));
        assert_eq!((options.grace_seconds, options.dry_run, options.uid.as_deref()), (Some(5), true, Some("u")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |value: Value| of_value(&value).unwrap_err().message;
        assert_eq!(
            message(json!({"propagationPolicy": "Odd"})),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Odd\": supported values: \
             \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
        assert!(
            message(json!({"propagationPolicy": "Orphan", "orphanDependents": true})).contains("cannot be both set")
        );
        assert!(of_query(&Query::parse("gracePeriodSeconds=soon")).is_err());
    }
}
