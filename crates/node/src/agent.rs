//! Carries out what the lifecycle machine decides: one worker per pod, which nothing else can block.

mod addresses;
mod claims;
mod command;
mod context;
mod disk;
mod dispatch;
mod ended;
mod handler;
mod image;
mod message;
mod patch;
mod prober;
mod rate;
mod report;
mod sandbox;
mod start;
mod table;
mod worker;

pub(crate) use claims::clean;
pub(crate) use context::Context;
pub(crate) use dispatch::dispatch;
pub(crate) use rate::{INTERVAL as SAMPLED_EVERY, Recent, sample};
pub(crate) use table::{Handle, Pods, Running};
