//! strategic.
