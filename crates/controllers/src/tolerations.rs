//! Whether a pod tolerates what its node has.

use k8s_openapi::api::core::v1::{Taint, Toleration};

pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is_any_or = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w.is_empty() || w == value);
    let is_value_right = match toleration.operator.as_deref() {
        None | Some("" | "Equal") => {
            toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        Some("Exists") => true,
        Some(_) => false,
    };
    is_any_or(&toleration.effect, &taint.effect) && is_any_or(&toleration.key, &taint.key) && is_value_right
}
