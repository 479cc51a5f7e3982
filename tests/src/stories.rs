//! The stories, one file each.

mod bad_input;
mod durability;
mod spine;
