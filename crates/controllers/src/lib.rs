//! The control loops: each a pure plan on one driver.
#![allow(dead_code)]
mod batch;
mod deployment;
mod driver;
mod error;
mod informers;
mod labels;
mod outstanding;
mod owners;
mod pods;
mod replica_set;
mod template;

pub use driver::LoopMetrics;
pub use error::Error;
