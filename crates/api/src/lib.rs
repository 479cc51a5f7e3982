//! The kinds of the API, and everything derived from them by pure functions.

pub mod apply;
pub mod columns;
pub mod cron;
pub mod decode;
pub mod defaults;
pub mod discovery;
pub mod fieldset;
pub mod go_json;
pub mod identity;
pub mod kind;
pub mod kinds;
pub mod names;
pub mod openapi;
pub mod pod_security;
pub mod proto;
pub mod quantity;
pub mod quota;
pub mod scan;
pub mod schema;
pub mod selector;
pub mod spew;
pub mod status;
pub mod strategic;
pub mod validation;
mod warnings;
pub mod yaml;
