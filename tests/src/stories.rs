//! The stories, one file each.

mod bad_input;
mod controller;
mod durability;
mod helm;
mod kubectl;
mod kubectl_forms;
mod kubectl_workloads;
mod oracle;
mod python;
mod nodes;
mod spine;
mod streams;
