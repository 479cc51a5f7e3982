//! The stories, one file each.

mod adversaries;
mod bad_input;
mod claims;
mod controller;
mod durability;
mod endings;
mod helm;
mod http_containers;
mod isolated;
mod jobs;
mod kubectl;
mod kubectl_forms;
mod kubectl_workloads;
mod languages;
mod nodes;
mod oracle;
mod python;
mod rollouts;
mod spine;
mod streams;
