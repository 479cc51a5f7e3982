//! decode.
