//! Which objects a list, a watch or a deletecollection is about.

use coracle_api::kind::Kind;
use coracle_api::selector::{FieldSelector, Selector};
use coracle_api::status::Status;
use serde_json::Value;

use crate::options::ListOptions;

/// Where to look and what to look for.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// What the keys begin with.
    pub(crate) prefix: String,
    labels: Selector,
    fields: FieldSelector,
}

impl Selection {
    pub(crate) fn parse(kind: &Kind, namespace: &str, options: &ListOptions) -> Result<Self, Status> {
        let bad = |error: coracle_api::selector::Error| Status::bad_request(error.to_string());
        let labels = Selector::parse(&options.label_selector).map_err(bad)?;
        let fields = FieldSelector::parse(&options.field_selector, kind).map_err(bad)?;
        let namespace = (!namespace.is_empty()).then_some(namespace);
        Ok(Self { prefix: kind.prefix(namespace), labels, fields })
    }

    /// True when every object in its place is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// True when `key` is in its place.
    pub(crate) fn covers(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
    }

    /// True when `object` is looked for.
    pub(crate) fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(kind, object)
    }

    /// The one name that can match.
    pub(crate) fn exact_name(&self) -> Option<&str> {
        self.fields.exact_name()
    }
}
