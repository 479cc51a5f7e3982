//! Runs WebAssembly containers on wasmtime, and reports how they ended. It knows nothing of pods, images or Kubernetes.
//!
//! A [`Runtime`] owns one engine. [`Runtime::load`] turns the bytes of an image into a [`Module`], compiling at most
//! once per digest and keeping the result on disk. [`Runtime::start`] runs a module as a [`Container`]: with arguments,
//! environment, mounts, limits, an [`Output`] and a [`network::Network`], and with nothing else of the host. What the
//! module exports decides how it runs:
//!
//! * a **command** component (`wasi:cli/run`) and a **core module** (wasip1 `_start`) run once, until they return;
//! * an **HTTP** component (`wasi:http/incoming-handler`, `wasi:http/handler`) is a server on `http_port`, with a fresh
//!   instance per request.
//!
//! [`Container::exec`] runs the module of a running process again, beside it and in its place: with other arguments, the
//! same environment, mounts and network, and under the same limits together.
//!
//! Promises: a guest that spins, traps, or asks for too much memory harms nobody else; [`Container::kill`] ends a guest
//! within milliseconds wherever it is; every task of a container ends when its [`Container`] is dropped.

mod binary;
mod cache;
mod command;
pub mod compiler;
mod container;
mod coredump;
mod engine;
mod files;
mod guest;
mod heavy;
pub mod http;
pub mod isolated;
mod limits;
mod linker;
mod loader;
mod mapped;
mod meter;
mod module;
mod mounts;
pub mod network;
mod pipe;
mod process;
mod runtime;
mod sandbox;
mod sockets;
mod stdio;
mod tasks;
mod ticker;
mod trap;
mod workshop;

pub use container::{
    Container, ContainerSpec, Exec, Exit, Furnish, Mount, NotAProcess, Output, REQUESTS_MAX, REQUESTS_QUEUED_MAX,
    StdStream, Stdin, Usage,
};
pub use module::{LoadError, Module, ModuleKind};
pub use pipe::{Broken, PIPE_BYTES_MAX, Pipe};
pub use process::{Program, is_started_by_agent};
pub use runtime::{Config, Error, Runtime};
