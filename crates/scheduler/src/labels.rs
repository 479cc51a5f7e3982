//! Label and node selectors as pods carry them. It leaves the matching itself to the API's own selectors.

use std::collections::BTreeMap;

use coracle_api::selector::{Operator, Requirement, Selector};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub(crate) type Labels = BTreeMap<String, String>;

fn operator(text: &str) -> Option<Operator> {
    match text {
        "In" => Some(Operator::In),
        "NotIn" => Some(Operator::NotIn),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        "Gt" => Some(Operator::GreaterThan),
        "Lt" => Some(Operator::LessThan),
        _ => None,
    }
}

fn requirement(key: &str, text: &str, values: Option<&Vec<String>>) -> Option<Requirement> {
    Some(Requirement { key: key.to_owned(), operator: operator(text)?, values: values.cloned().unwrap_or_default() })
}

/// The selector over pods; a missing one matches nothing, an empty one everything.
pub(crate) fn selector(typed: Option<&LabelSelector>) -> Selector {
    let Some(typed) = typed else { return Selector::nothing() };
    let equals =
        typed.match_labels.iter().flatten().map(|(key, value)| requirement(key, "In", Some(&vec![value.clone()])));
    let of = |typed: &LabelSelectorRequirement| requirement(&typed.key, &typed.operator, typed.values.as_ref());
    let all: Option<Vec<Requirement>> = equals.chain(typed.match_expressions.iter().flatten().map(of)).collect();
    all.map_or_else(Selector::nothing, |requirements| Selector { requirements, nothing: false })
}

pub(crate) fn matches(selector: &Selector, labels: Option<&Labels>) -> bool {
    selector.matches_with(|key| labels?.get(key).map(String::as_str))
}

/// A node of this name and these labels meets the term. An empty term is met by none.
pub(crate) fn meets(term: &NodeSelectorTerm, name: &str, labels: Option<&Labels>) -> bool {
    let of = |typed: &NodeSelectorRequirement| requirement(&typed.key, &typed.operator, typed.values.as_ref());
    let selector = |typed: Option<&Vec<NodeSelectorRequirement>>| {
        let all: Option<Vec<Requirement>> = typed.into_iter().flatten().map(of).collect();
        all.map_or_else(Selector::nothing, |requirements| Selector { requirements, nothing: false })
    };
    let (expressions, fields) = (selector(term.match_expressions.as_ref()), selector(term.match_fields.as_ref()));
    if expressions.is_everything() && fields.is_everything() {
        return false;
    }
    let field = |key: &str| (key == "metadata.name").then_some(name);
    matches(&expressions, labels) && fields.matches_with(field)
}
