//! fieldset.
