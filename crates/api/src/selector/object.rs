//! The `LabelSelector` object: `matchLabels` and `matchExpressions`.

use serde_json::Value;

use super::{Error, Operator, Requirement, Selector, joined};
use crate::names::{label_value, qualified_name};
use crate::validation::{FieldError, go_quote};

/// The selector that a `LabelSelector` stands for. Null matches nothing, an empty object everything.
pub fn from_label_selector(object: &Value) -> Result<Selector, Error> {
    if object.is_null() {
        return Ok(Selector::nothing());
    }
    let labels = Selector::from_labels(&object["matchLabels"]).requirements.into_iter();
    let checked = labels.map(|r| Requirement::checked(&r.key, r.operator, r.values));
    let mut requirements = checked.collect::<Result<Vec<_>, _>>().map_err(|e| Error(joined(&e)))?;
    for expression in object["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let operator = operator(expression["operator"].as_str().unwrap_or_default())?;
        let values = expression["values"].as_array().into_iter().flatten();
        let mut values: Vec<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
        values.sort();
        values.dedup();
        requirements.push(Requirement::checked(key, operator, values).map_err(|e| Error(joined(&e)))?);
    }
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Selector { requirements, nothing: false })
}

fn operator(text: &str) -> Result<Operator, Error> {
    match text {
        "In" => Ok(Operator::In),
        "NotIn" => Ok(Operator::NotIn),
        "Exists" => Ok(Operator::Exists),
        "DoesNotExist" => Ok(Operator::DoesNotExist),
        other => Err(Error(format!("{} is not a valid label selector operator", go_quote(other)))),
    }
}

/// Whether `labels` meet a `LabelSelector` object that may be invalid; then they do not.
pub(crate) fn labels_match_object(selector: &Value, labels: &Value) -> bool {
    from_label_selector(selector).is_ok_and(|s| s.matches(labels))
}

pub(crate) fn requirement_errors(key: &str, operator: Operator, values: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let problems = qualified_name(key);
    if !problems.is_empty() {
        errors.push(FieldError::invalid("key", &key.into(), &problems.join("; ")));
    }
    let wrong = |detail: &str| FieldError::invalid("values", &values.into(), detail);
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            errors.push(wrong("for 'in', 'notin' operators, values set can't be empty"));
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            errors.push(wrong("exact-match compatibility requires one single value"));
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            errors.push(wrong("values set must be empty for exists and does not exist"));
        }
        Operator::GreaterThan | Operator::LessThan => errors.extend(bounds(values)),
        _ => {}
    }
    for (i, value) in values.iter().enumerate() {
        let problems = label_value(value);
        if !problems.is_empty() {
            let field = format!("values[{i}][{key}]");
            errors.push(FieldError::invalid(field, &value.as_str().into(), &problems.join("; ")));
        }
    }
    errors
}

fn bounds(values: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if values.len() != 1 {
        let detail = "for 'Gt', 'Lt' operators, exactly one value is required";
        errors.push(FieldError::invalid("values", &values.into(), detail));
    }
    for (i, value) in values.iter().enumerate() {
        if value.parse::<i64>().is_err() {
            let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(FieldError::invalid(format!("values[{i}]"), &value.as_str().into(), detail));
        }
    }
    errors
}
