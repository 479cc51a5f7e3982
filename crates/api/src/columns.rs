//! columns.
