//! Label selectors as the typed objects carry them. It leaves the matching itself to the API's own selectors.

use std::collections::BTreeMap;

use coracle_api::selector::{Operator, Requirement, Selector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub(crate) type Labels = BTreeMap<String, String>;

/// The selector of an object that must have one; one that makes no sense matches nothing.
pub(crate) fn selector(typed: &LabelSelector) -> Selector {
    let equals = typed.match_labels.iter().flatten().map(|(key, value)| (key, Operator::Equals, vec![value.clone()]));
    let expressions = typed.match_expressions.iter().flatten().map(expression);
    let requirements: Option<Vec<Requirement>> =
        equals.map(Some).chain(expressions).map(|parts| parts.map(requirement)).collect();
    requirements.map_or_else(Selector::nothing, |requirements| Selector { requirements, nothing: false })
}

/// A selector of plain labels, as Services have.
pub(crate) fn selector_of_labels(labels: &Labels) -> Selector {
    let equals = |(key, value): (&String, &String)| requirement((key, Operator::Equals, vec![value.clone()]));
    Selector { requirements: labels.iter().map(equals).collect(), nothing: false }
}

pub(crate) fn matches(selector: &Selector, labels: Option<&Labels>) -> bool {
    selector.matches_with(|key| labels?.get(key).map(String::as_str))
}

type Parts<'a> = (&'a String, Operator, Vec<String>);

fn expression(typed: &LabelSelectorRequirement) -> Option<Parts<'_>> {
    let operator = match typed.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return None,
    };
    Some((&typed.key, operator, typed.values.clone().unwrap_or_default()))
}

fn requirement((key, operator, values): Parts<'_>) -> Requirement {
    Requirement { key: key.clone(), operator, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn labels_and_expressions_must_all_match() {
        let typed = LabelSelector {
            match_labels: Some(labels(&[("app", "web")])),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tier".into(),
                operator: "NotIn".into(),
                values: Some(vec!["db".into()]),
            }]),
        };
        let selector = selector(&typed);
        assert!(matches(&selector, Some(&labels(&[("app", "web")]))));
        assert!(!matches(&selector, Some(&labels(&[("app", "web"), ("tier", "db")]))));
        assert!(!matches(&selector, None));
    }
}
