//! Quantities in bodies: the canonical text, or the complaint that Kubernetes has about it.

use crate::quantity::Quantity;

/// The text as Kubernetes would write it again.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    text.parse::<Quantity>().map(|quantity| quantity.to_string()).map_err(|error| error.to_string())
}
