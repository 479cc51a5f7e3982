//! What reads bytes from outside, made to read any bytes.
//!
//! A [`Target`] is a function that takes bytes and must come back: it neither panics, nor overflows its stack, nor takes
//! memory out of proportion, and what it accepts holds its promises. Each has a few seeds in `corpus/NAME/`.
//!
//! - `cargo xtask test` gives every target its seeds, what was found before, and some thousand mutations of them.
//! - `cargo xtask fuzz [TARGET] [SECONDS]` lets libFuzzer search, guided by coverage, on the stable toolchain. What it
//!   finds is put into the corpus, small and under a name that says what it is, with the fix.

mod mutation;
mod targets;
#[cfg(test)]
mod tests;

pub use mutation::Mutator;
pub use targets::{TARGETS, Target};
