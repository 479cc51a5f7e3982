//! Selectors and quantities, as clients write them.

use coracle_api::kinds;
use coracle_api::quantity::{self, Quantity};
use coracle_api::selector::{FieldSelector, Selector};
use serde_json::json;

/// Label selectors and field selectors are written alike: the same text is read as both.
pub(super) fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let _ = selector.matches(&json!({"a": "1", "b": ""}));
        let _ = selector.matches(&json!(null));
    }
    for kind in kinds::all().iter().take(4) {
        if let Ok(selector) = FieldSelector::parse(text, kind) {
            let _ = selector.matches(kind, &json!({"metadata": {"name": "a"}}));
        }
    }
}

/// A canonical quantity is its own canonical form, and the same number.
pub(super) fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(number) = text.parse::<Quantity>() else { return };
    let _ = (number.value(), number.milli_value(), number.as_f64(), number.is_whole());
    let canonical = quantity::canonical(text).expect("it was read before");
    assert_eq!(quantity::canonical(&canonical).as_deref(), Ok(&*canonical), "{text:?}");
}
