//! The agent's half: a process for every container, served what its guest asks of the network.

mod apart;
mod datagrams;
mod end;
mod network;
mod output;
mod pump;
mod quota;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use tokio::process::Child;

use super::{Unavailable, lock};
use crate::process::{Program, Starter};

pub(crate) use self::apart::Apart;

/// How containers get processes of their own.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// The program whose [`run`](crate::isolated::run) is a container's process.
    pub program: Program,
    /// Containers are refused where the kernel cannot confine them.
    pub confined: bool,
}

impl Default for Isolation {
    /// This very program, also when its file has been replaced, with the argument `sandbox`.
    fn default() -> Self {
        Self { program: Program::own("sandbox"), confined: true }
    }
}

/// Starts the processes of containers.
pub(crate) struct Launcher {
    pub(super) isolation: Isolation,
    /// Certificates of authorities that guests' requests trust.
    pub(super) authorities_pem: String,
    available: OnceLock<Result<(), Unavailable>>,
    starter: Arc<Starter>,
}

impl Launcher {
    pub(crate) fn new(isolation: Isolation, authorities_pem: String, starter: &Arc<Starter>) -> Self {
        Self { isolation, authorities_pem, available: OnceLock::new(), starter: Arc::clone(starter) }
    }

    /// Whether containers may be started here.
    pub(crate) fn available(&self) -> Result<(), Unavailable> {
        if !self.isolation.confined {
            return Ok(());
        }
        self.available.get_or_init(lock::probe).clone()
    }

    /// A process whose standard input is `socket`.
    async fn launch(&self, socket: OwnedFd) -> io::Result<Child> {
        self.starter.start(self.isolation.program.command(socket)).await
    }
}
