//! kind.
