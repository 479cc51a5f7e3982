//! defaults.
