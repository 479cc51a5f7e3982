//! Whether an object is valid, and if not, where and why, in upstream's words. Nothing here changes an object.

mod cursor;
mod error;
pub mod metadata;

pub(crate) use cursor::Cursor;
pub use error::{ErrorType, FieldError, aggregate, go_quote};

/// Errors in the order in which they were found.
pub(crate) type Errors = Vec<FieldError>;
